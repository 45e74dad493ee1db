# Turns the CSV files of this folder into rows of C initializers, so that the core needs neither files nor start-up work.
#
# Usage: LC_ALL=C awk -v table=NAME -f tables.awk FILE.csv... > generated/NAME.inc
# LC_ALL=C makes every awk work on bytes; nothing here goes beyond POSIX awk, because Debian's default is mawk.
#
#	NAME               input                    row
#	phone_plans        regions.csv              PhonePlan
#	phone_codes        regions.csv              PhoneCode, indexed by calling code
#	phone_areas        nanp_tz.csv              PhoneArea, ascending
#	gsm_septets        gsm7.csv                 septets, indexed by code point
#	gsm_lookalikes     smart_map.csv            Lookalike, ascending
#	fold_letters       fold.csv                 FoldedLetter, ascending
#	keywords           fold.csv keywords.csv    Keyword, folded, ascending

function fail(message)
{
	print FILENAME ":" FNR ": " message > "/dev/stderr"
	failed = 1
	exit 1
}

# Splits a CSV line into field[1..n]; a doubled quote inside quotes is a quote.
function split_csv(line, field,	n, i, c, quoted, length_)
{
	split("", field)
	n = 1
	field[1] = ""
	quoted = 0
	length_ = length(line)
	for (i = 1; i <= length_; i++) {
		c = substr(line, i, 1)
		if (c == "\"") {
			if (quoted && substr(line, i + 1, 1) == "\"") {
				field[n] = field[n] c
				i++
			} else
				quoted = !quoted
		} else if (c == "," && !quoted)
			field[++n] = ""
		else
			field[n] = field[n] c
	}
	return n
}

# A C string literal.
function quote(text,	i, c, out)
{
	out = ""
	for (i = 1; i <= length(text); i++) {
		c = substr(text, i, 1)
		out = out (c == "\\" || c == "\"" ? "\\" c : c)
	}
	return "\"" out "\""
}

function hex_value(text,	i, value)
{
	value = 0
	for (i = 1; i <= length(text); i++)
		value = value * 16 + index("0123456789ABCDEF", substr(text, i, 1)) - 1
	return value
}

# The number of bytes of the UTF-8 character that starts with byte c.
function utf8_length(c)
{
	return byte[c] < 128 ? 1 : byte[c] < 224 ? 2 : byte[c] < 240 ? 3 : 4
}

function utf8_code_point(char,	i, value)
{
	value = byte[substr(char, 1, 1)] % (length(char) == 2 ? 32 : 16)
	for (i = 2; i <= length(char); i++)
		value = value * 64 + byte[substr(char, i, 1)] % 64
	return value
}

# Lengths such as "7 9 10" as a set of bits.
function length_bits(text,	part, n, i, bits)
{
	bits = 0
	n = split(text, part, " ")
	for (i = 1; i <= n; i++)
		bits += 2 ^ part[i]
	return bits
}

function phone_plan(	trunk, transform)
{
	trunk = f[7] == "" ? f[6] : f[7]
	transform = "NULL"
	if (f[8] != "")
		transform = quote(substr(f[8], 1, index(f[8], "$") - 1))
	printf "{%s, %s, %s, %s, %s, %s, %s, %s, %s, %s},\n", quote(f[1]), f[2], quote(f[4]), quote(f[5]), quote(f[6]), quote(trunk),
		transform, length_bits(f[9]), quote(f[11]), f[12] == 1 ? "true" : "false"
}

# Plans that share a calling code stand together, the main one first; PhoneCode relies on it.
function phone_code()
{
	if (f[2] in plan_count) {
		if (f[3] == 1 || f[2] != last_code)
			fail("plans of calling code " f[2] " are not together with the main one first")
		plan_count[f[2]]++
	} else if (f[2] != last_code) {
		plan_first[f[2]] = rows
		plan_count[f[2]] = 1
	}
	last_code = f[2]
	rows++
}

function phone_area(	zone, n, i, list, region, state)
{
	n = split(f[3], zone, "&")
	if (n > 5)
		fail("more than 5 time zones")
	list = ""
	for (i = 1; i <= n; i++)
		list = list (i > 1 ? ", " : "") quote(zone[i])
	region = substr(f[2], 1, 2)
	state = f[2] ~ /^[A-Z][A-Z]-[A-Z][A-Z]$/ ? f[2] : ""
	printf "{%d, \"%s\", \"%s\", %d, {%s}},\n", f[1], region, state, n, list
}

function gsm_septet()
{
	if (f[1] ~ /^U\+/ && (f[3] == "default" || f[3] == "extension"))
		printf "[0x%s] = %d,\n", substr(f[1], 3), f[3] == "default" ? 1 : 2
}

function lookalike()
{
	if (f[2] == "replace" || f[2] == "remove")
		row[hex_value(substr(f[1], 3))] = quote(f[3])
	else if (f[2] != "keep")
		fail("unknown action " f[2])
}

function fold_letters(	i, n, char)
{
	for (i = 1; i <= length(f[2]); i += n) {
		n = utf8_length(substr(f[2], i, 1))
		char = substr(f[2], i, n)
		folded[char] = f[1]
		row[utf8_code_point(char)] = quote(f[1])
	}
}

# The keyword as fold.c would fold it: lower case, no diacritics, one space between words.
function fold(text,	i, n, char, out)
{
	out = ""
	for (i = 1; i <= length(text); i += n) {
		n = utf8_length(substr(text, i, 1))
		char = substr(text, i, n)
		if (char in folded)
			out = out folded[char]
		else if (n > 1 || char ~ /[A-Za-z0-9]/)
			out = out tolower(char)
		else
			out = out " "
	}
	return out
}

function keyword(	text)
{
	if (!(f[3] in action))
		fail("unknown action " f[3])
	text = fold(f[2])
	if (!(text in keyword_action))
		insert_keyword(text)
	else if (keyword_action[text] != f[3])
		fail("keyword " f[2] " has two actions")
	keyword_action[text] = f[3]
}

function insert_keyword(text,	i)
{
	for (i = keyword_count++; i > 0 && keyword_text[i] > text; i--)
		keyword_text[i + 1] = keyword_text[i]
	keyword_text[i + 1] = text
}

BEGIN {
	for (i = 1; i < 256; i++)
		byte[sprintf("%c", i)] = i
	action["opt_out"] = "REPLY_OPT_OUT, false"
	action["opt_out_phrase"] = "REPLY_OPT_OUT, true"
	action["opt_in"] = "REPLY_OPT_IN, false"
	action["opt_in_if_pending"] = "REPLY_CONFIRM, false"
	action["help"] = "REPLY_HELP, false"
	action["review"] = "REPLY_REVIEW, true"
	print "/* Generated by src/core/data/tables.awk from the CSV files beside it. */"
}

FNR == 1 {
	file++
	next
}

{
	sub(/\r$/, "")
	split_csv($0, f)
	if (table == "phone_plans") phone_plan()
	else if (table == "phone_codes") phone_code()
	else if (table == "phone_areas") phone_area()
	else if (table == "gsm_septets") gsm_septet()
	else if (table == "gsm_lookalikes") lookalike()
	else if (table == "fold_letters" || (table == "keywords" && file == 1)) fold_letters()
	else if (table == "keywords") keyword()
	else fail("unknown table " table)
}

END {
	if (failed)
		exit 1
	if (table == "phone_codes")
		for (code = 1; code < 1000; code++)
			if (code in plan_first)
				printf "[%d] = {%d, %d},\n", code, plan_first[code], plan_count[code]
	if (table == "gsm_lookalikes" || table == "fold_letters")
		for (code = 0; code < 65536; code++)
			if (code in row)
				printf "{0x%04X, %s},\n", code, row[code]
	for (i = 1; i <= keyword_count; i++) {
		text = keyword_text[i]
		printf "{%s, %d, %s},\n", quote(text), length(text), action[keyword_action[text]]
	}
}
