--
-- What may be wrong with a template
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
