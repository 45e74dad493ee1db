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

-- What would be found out by messages that are set aside, one after the other, is refused here.
CREATE OR REPLACE FUNCTION smsflow.check_profile() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	headers CONSTANT jsonb := CASE WHEN jsonb_typeof(new.headers) = 'object' THEN new.headers END;
	media CONSTANT jsonb := CASE WHEN jsonb_typeof(new.media) = 'object' THEN new.media - 'most' END;
	wrong text;
BEGIN
	SELECT min(h.key) INTO wrong FROM jsonb_each(headers) h WHERE jsonb_typeof(h.value) <> 'string' OR h.key !~ '^[A-Za-z0-9_-]+$';
	IF wrong IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('header %s of profile "%s" cannot be sent', to_jsonb(wrong), new.profile),
			DETAIL = 'A header has a name of letters, digits, "_" and "-", and a text.', HINT = 'Put a number into quotes.';
	END IF;
	PERFORM smsflow.check_template(t.template)
		FROM (SELECT unnest(ARRAY[new.path, new.query, new.body, new.sigv4, new.callback ->> 'ask', new.batch ->> 'query', new.batch ->> 'body',
				new.batch ->> 'item', new.lookup #>> '{by_reference,url}', new.lookup #>> '{by_id,url}'])
			UNION ALL SELECT h.value FROM jsonb_each_text(headers) h
			UNION ALL SELECT m.value FROM jsonb_each_text(media) m) AS t (template);
	RETURN new;
END $$;
COMMENT ON FUNCTION smsflow.check_profile() IS 'Trigger of gateway_profile: refuses templates that are malformed (SF003) and headers that cannot be sent (SF007)';
REVOKE ALL ON FUNCTION smsflow.check_profile() FROM PUBLIC;

CREATE OR REPLACE TRIGGER check_profile BEFORE INSERT OR UPDATE ON smsflow.gateway_profile
	FOR EACH ROW EXECUTE FUNCTION smsflow.check_profile();

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
