-- What happens to a row of configuration when it is changed.

-- Rows that smsflow brings are not dumped; the user's are. So a row that the user changes becomes the user's, and
-- one that pg_restore brings takes the place of the row that CREATE EXTENSION has made.
CREATE OR REPLACE FUNCTION smsflow.keep_own_row() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_OP = 'UPDATE' THEN
		new.builtin := false;
	ELSIF NOT new.builtin THEN
		EXECUTE format('DELETE FROM smsflow.%1$I t WHERE t.builtin AND (t.%2$I, t.%3$I) = (($1).%2$I, ($1).%3$I)',
			TG_TABLE_NAME, TG_ARGV[0], TG_ARGV[1]) USING new;
	END IF;
	RETURN new;
END $$;
COMMENT ON FUNCTION smsflow.keep_own_row() IS 'Trigger of tables with rows that smsflow brings: what the user writes replaces them and is dumped. Its arguments are the columns of the key';
REVOKE ALL ON FUNCTION smsflow.keep_own_row() FROM PUBLIC;

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
