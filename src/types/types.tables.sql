-- The enums that core, tables and functions share. Run once.
CREATE TYPE smsflow.purpose AS ENUM ('compliance', 'otp', 'transactional', 'conversational', 'cart', 'promotional');
COMMENT ON TYPE smsflow.purpose IS 'Why a message is sent; decides which consent, quiet hours and caps apply';

CREATE TYPE smsflow.consent_level AS ENUM ('none', 'implied', 'express', 'written', 'confirmed');
COMMENT ON TYPE smsflow.consent_level IS 'How firmly a person agreed, from not at all to a written consent confirmed from the phone';
