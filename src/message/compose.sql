-- What a brand wants of the texts of a purpose, whoever writes them: campaigns, steps of sequences, send() and replies. Re-runnable.

CREATE OR REPLACE FUNCTION smsflow.set_text_policy(purposes text[] DEFAULT '{promotional,cart}', prefix text DEFAULT NULL, opt_out_text text DEFAULT NULL,
		smart_encode boolean DEFAULT NULL, missing text DEFAULT NULL, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM smsflow.check_template(set_text_policy.prefix), smsflow.check_template(set_text_policy.opt_out_text);
	IF NOT smsflow.has_opt_out_wording(nullif(set_text_policy.opt_out_text, '')) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'opt_out_text does not say how to opt out',
			DETAIL = 'It has none of the words that tell it, such as STOP.', HINT = 'Example: "Reply STOP to end".';
	END IF;
	INSERT INTO smsflow.text_policy AS p (brand_id, purpose, prefix, opt_out_text, smart_encode, missing)
	SELECT smsflow.brand_named(set_text_policy.brand), smsflow.purpose_named(one), coalesce(set_text_policy.prefix, ''),
		coalesce(set_text_policy.opt_out_text, ''), coalesce(set_text_policy.smart_encode, false), coalesce(set_text_policy.missing, 'default')
	FROM (SELECT DISTINCT unnest(set_text_policy.purposes)) AS named (one)
	ON CONFLICT ON CONSTRAINT text_policy_pkey DO UPDATE
		SET prefix = coalesce(set_text_policy.prefix, p.prefix), opt_out_text = coalesce(set_text_policy.opt_out_text, p.opt_out_text),
			smart_encode = coalesce(set_text_policy.smart_encode, p.smart_encode), missing = coalesce(set_text_policy.missing, p.missing),
			changed_at = clock_timestamp();
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'a policy of texts is for at least one purpose',
			DETAIL = 'purposes is null or empty.', HINT = 'Leave it out for {promotional,cart}.';
	END IF;
EXCEPTION WHEN check_violation THEN
	RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'this policy of texts cannot be used',
		DETAIL = 'prefix and opt_out_text have at most 100 bytes; missing is default, skip, blank or fail; purposes are promotional, cart, conversational and transactional.',
		HINT = 'The texts of one-time passwords are in smsflow.set_otp_policy(), those of automatic answers in smsflow.auto_reply.';
END $$;
COMMENT ON FUNCTION smsflow.set_text_policy(text[], text, text, boolean, text, text) IS
'What a brand wants of all texts of these purposes that are written from now on, by campaigns, steps of sequences, send() and reply(); null leaves it. prefix: what texts that do not name the brand begin with. opt_out_text: what texts that do not say how to opt out end with. Both are templates of at most 100 bytes, are counted in parts, and an empty one ends it. smart_encode: look-alikes take the place of typographic characters where that makes a text GSM-7. missing: what a variable without value and default does: the recipient gets nothing (skip, reason missing_variable), nothing is written in its place (blank), what sends it fails (fail: an error of send(), a failed campaign, a disabled sequence), or default: send() fails, campaigns and steps skip. Options of a campaign come before the last two. One-time passwords and automatic answers have texts of their own. Campaigns that were approved before need approval again. SF003 malformed text, SF004 unknown brand, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.set_text_policy(text[], text, text, boolean, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.dress_text(body text, brand text, policy smsflow.text_policy) RETURNS text
	LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_dress_text';
COMMENT ON FUNCTION smsflow.dress_text(text, text, smsflow.text_policy) IS 'Template with what a policy (null: none) wants before and behind it, where it does not say that itself';
REVOKE ALL ON FUNCTION smsflow.dress_text(text, text, smsflow.text_policy) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.text_policy_of(brand text, purpose smsflow.purpose) RETURNS smsflow.text_policy
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	RETURN (SELECT p FROM smsflow.text_policy AS p JOIN smsflow.brand AS b USING (brand_id)
		WHERE b.name = text_policy_of.brand AND p.purpose = text_policy_of.purpose);
COMMENT ON FUNCTION smsflow.text_policy_of(text, smsflow.purpose) IS 'What a brand wants of the texts of a purpose; null: nothing';
REVOKE ALL ON FUNCTION smsflow.text_policy_of(text, smsflow.purpose) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.compose_text(body text, vars jsonb, brand text, purpose smsflow.purpose, policy smsflow.text_policy,
		OUT rendered text, OUT parts integer, OUT unicode boolean, OUT missing text, OUT links text[], OUT refusal text)
	LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_pg_compose_text';
COMMENT ON FUNCTION smsflow.compose_text(text, jsonb, text, smsflow.purpose, smsflow.text_policy, OUT text, OUT integer, OUT boolean, OUT text, OUT text[], OUT text) IS 'The text that a person reads, of a template dressed by a policy (null: none), and its parts. missing names the first variable without value or default, and rendered is then null; links are the targets of short links, whose codes the outbox puts in; refusal is missing_variable or what content_refusal() says. All is null where another argument is. Errors: SF003, SF007';
REVOKE ALL ON FUNCTION smsflow.compose_text(text, jsonb, text, smsflow.purpose, smsflow.text_policy) FROM PUBLIC;
