-- What came after the example's release, written as a part of src/upgrade is.

DROP FUNCTION smsflow.nickname(integer);
ALTER TABLE smsflow.brand DROP COLUMN nickname;
DROP VIEW smsflow.stat_otp;
