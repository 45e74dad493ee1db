--
-- What may be wrong with a template, and what a brand wants of all its texts
--
\set VERBOSITY sqlstate
SELECT smsflow.create_brand('Lint') > 0 AS made;
SELECT problem, position, detail FROM smsflow.lint_template('Lint: Hi {{first_name|there}}, your scarf is back https://shop.example/s Reply STOP to end', brand => 'Lint');
SELECT problem, position, detail FROM smsflow.lint_template('BUY NOW “TODAY” AND SAVE A LOT 🎉 http://a.example http://b.example', brand => 'Lint');
SELECT problem, position FROM smsflow.lint_template('{{brand}}: {{cart.items.0.title}} at {{cart.url|link}} {{name|uppercase}} {{total|mony|money}}' || repeat(' more', 80), brand => 'Lint') ORDER BY 1, 2;
SELECT problem FROM smsflow.lint_template('Lint: look https://bit.ly/x', brand => 'Lint');
SELECT problem FROM smsflow.lint_template('Lint: {{name}} {{#if vip}}{{code}}{{/if}}', 'transactional', '{"name": "Ann"}', 'Lint');
SELECT problem FROM smsflow.lint_template('Lint: {{name', brand => 'Lint');
SELECT problem FROM smsflow.lint_template('Lint', 'selling', brand => 'Lint');
SELECT problem FROM smsflow.lint_template('', brand => 'Lint');
SELECT problem FROM smsflow.lint_template('x', brand => 'no brand');

-- What the policy wants is said in every text of its purposes, once, and counted; send() knows it, and lint_template() looks at that.
SELECT smsflow.suspend_rule('window');
SELECT count(smsflow.subscribe('+12125550' || n, '{transactional,promotional,conversational}', 'web', 'I agree', 'written', brand => 'Lint')) AS people FROM generate_series(371, 374) AS n;
SELECT smsflow.set_text_policy(prefix => 'Lint Shop: ', opt_out_text => 'Reply STOP to end', smart_encode => true, brand => 'Lint');
CREATE FUNCTION pg_temp.sent(body text, purpose text DEFAULT 'promotional', vars jsonb DEFAULT '{}') RETURNS TABLE (text text, parts smallint, refusal text) LANGUAGE plpgsql AS $$
DECLARE
	id CONSTANT bigint := smsflow.send('+12125550371', sent.body, sent.purpose, vars => sent.vars, brand => 'Lint');
BEGIN
	RETURN QUERY SELECT o.body, o.parts, o.refusal FROM smsflow.outbox AS o WHERE o.message_id = id;
END $$;
SELECT s.* FROM unnest(ARRAY['Sale', 'Sale at lint shop', '{{ brand }}: sale, STOP ends it', 'It’s “new”', '{{name}}']) AS b (body)
	CROSS JOIN LATERAL pg_temp.sent(b.body, vars => '{"name": "Ann"}') AS s;
SELECT * FROM pg_temp.sent(repeat('x', 140));
SELECT smsflow.set_template('lint', 'Hello {{name|there}}', brand => 'Lint') > 0 AS made, smsflow.send('+12125550371', template => 'lint', purpose => 'promotional', brand => 'Lint') AS id \gset
SELECT body FROM smsflow.outbox WHERE message_id = :id;
SELECT problem FROM smsflow.lint_template('It’s here', brand => 'Lint');
SELECT problem, position FROM smsflow.lint_template('It’s 😀', brand => 'Lint');
-- What is no marketing stays as it is, until the policy says so. Codes and automatic answers have texts of their own.
SELECT s.* FROM unnest('{transactional,conversational,compliance,otp}'::text[]) AS p (purpose) CROSS JOIN LATERAL pg_temp.sent('It’s packed', p.purpose) AS s;
SELECT smsflow.set_text_policy('{transactional}', prefix => '{{brand}} - ', brand => 'Lint');
SELECT * FROM pg_temp.sent('Packed', 'transactional');
SELECT smsflow.set_text_policy('{transactional}', prefix => '', opt_out_text => 'STOP ends', brand => 'Lint');
SELECT * FROM pg_temp.sent('Packed', 'transactional');
SELECT smsflow.set_text_policy('{otp}', prefix => 'Lint', brand => 'Lint');
SELECT smsflow.set_text_policy('{promotional,compliance}', prefix => 'Lint', brand => 'Lint');
-- A variable without a value: an error of send(), a recipient who gets nothing, a blank; an empty text is never sent.
SELECT * FROM pg_temp.sent('Hi {{name}}');
SELECT smsflow.set_text_policy(missing => 'skip', brand => 'Lint');
SELECT * FROM pg_temp.sent('Hi {{name}}');
SELECT smsflow.set_text_policy(missing => 'blank', brand => 'Lint');
SELECT * FROM pg_temp.sent('Hi {{name}}!{{#if vip}} Welcome{{/if}}{{other|?}}');
SELECT smsflow.set_text_policy(prefix => '', opt_out_text => '', brand => 'Lint');
SELECT * FROM pg_temp.sent('{{name}}');
SELECT problem FROM smsflow.lint_template('Lint: {{name}}', brand => 'Lint');
SELECT smsflow.set_text_policy(missing => 'fail', brand => 'Lint');
SELECT * FROM pg_temp.sent('Hi {{name}}');
SELECT * FROM pg_temp.sent('');
SELECT purpose, prefix, opt_out_text, smart_encode, missing FROM smsflow.text_policy JOIN smsflow.brand USING (brand_id) WHERE name = 'Lint' ORDER BY 1;
-- What cannot be a policy.
SELECT smsflow.set_text_policy(opt_out_text => 'Have a nice day', brand => 'Lint');
SELECT smsflow.set_text_policy(opt_out_text => '{{', brand => 'Lint');
SELECT smsflow.set_text_policy(prefix => repeat('x', 101), brand => 'Lint');
SELECT smsflow.set_text_policy(missing => 'never', brand => 'Lint');
SELECT smsflow.set_text_policy('{}', prefix => 'x', brand => 'Lint');
SELECT smsflow.set_text_policy('{selling}', prefix => 'x', brand => 'Lint');
SELECT smsflow.set_text_policy(prefix => 'x', brand => 'no brand');
SELECT smsflow.resume_rule('window');
