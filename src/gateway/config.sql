-- What happens to a row of configuration when it is changed.

-- Rows that smsflow brings are not dumped; the user's are. So a row that the user changes becomes the user's, and
-- one that pg_restore brings takes the place of the row that CREATE EXTENSION has made. An update of the extension
-- inserts the rows of the new release once more: they replace those of the old one, and leave the user's alone.
CREATE OR REPLACE FUNCTION smsflow.keep_own_row() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	relation CONSTANT text := format('smsflow.%I AS t', TG_TABLE_NAME);
	same_key CONSTANT text := format('(t.%1$I, t.%2$I) = (($1).%1$I, ($1).%2$I)', TG_ARGV[0], TG_ARGV[1]);
	known_builtin boolean;
BEGIN
	IF TG_OP = 'UPDATE' THEN
		-- Deeper than the user's own command is the replacement below.
		new.builtin := new.builtin AND pg_trigger_depth() > 1;
		RETURN new;
	END IF;
	EXECUTE format('SELECT t.builtin FROM %s WHERE %s', relation, same_key) INTO known_builtin USING new;
	IF known_builtin THEN
		-- In its place, because other rows may refer to it.
		EXECUTE format('UPDATE %s SET (%s) = (SELECT ($1).*) WHERE %s', relation, (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
			FROM pg_attribute a WHERE a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped), same_key) USING new;
	END IF;
	IF known_builtin OR new.builtin AND NOT known_builtin THEN
		RETURN NULL;
	END IF;
	RETURN new;
END $$;
COMMENT ON FUNCTION smsflow.keep_own_row() IS 'Trigger of tables with rows that smsflow brings: what the user writes replaces them and is dumped. Its arguments are the columns of the key';
REVOKE ALL ON FUNCTION smsflow.keep_own_row() FROM PUBLIC;

CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.gateway_profile
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('profile', 'profile');
CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.error_code
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('profile', 'code');

-- The worker keeps these tables in memory. ------------------------------------

CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.gateway_profile
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.error_code
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.gateway
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.sender
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.secret
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.sequence
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.registration
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.warm_up
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.warm_up
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('curve', 'day');
-- An expanding campaign moves its cursor all the time; only its status and its pace matter here.
CREATE OR REPLACE TRIGGER config_changed AFTER UPDATE OF status, options ON smsflow.campaign
	FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status OR old.options IS DISTINCT FROM new.options) EXECUTE FUNCTION smsflow.config_changed();
