/*
 * vectors.h - reads the CSV files that hold test vectors.
 *
 * The whole file is read, and each row is split in place.  Fields may be quoted and may hold line breaks.  A column whose name
 * ends in _json holds a JSON string, because a CSV field cannot show control characters.
 */
#ifndef SMSFLOW_VECTORS_H
#define SMSFLOW_VECTORS_H

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define VECTORS_MAX_COLUMNS 16

/* A check that names the row it failed on. */
#define CHECK_ROW(condition, row) unit_check((condition), __FILE__, __LINE__, (row))

typedef struct Vectors
{
	char *data;
	char *next;
	char *names[VECTORS_MAX_COLUMNS];
	char *fields[VECTORS_MAX_COLUMNS];
	int column_count;
	int row_count;
} Vectors;

/* Splits the field at *from, ends it with NUL, and moves *from behind it.  Returns whether another field follows in the row. */
static inline bool
vectors_split_field(char **from, char **field)
{
	char *p = *from;
	char *out = p;
	bool quoted = false;
	bool more;

	*field = p;
	for (; *p != '\0' && (quoted || (*p != ',' && *p != '\n')); p++)
	{
		if (*p == '\r' && p[1] == '\n' && !quoted)
			continue;
		if (*p != '"')
			*out++ = *p;
		else if (quoted && p[1] == '"')
			*out++ = *p++;
		else
			quoted = !quoted;
	}
	more = *p == ',';
	*from = *p == '\0' ? p : p + 1;
	*out = '\0';
	return more;
}

/* Splits the next row into fields; false at the end of the file. */
static inline bool
vectors_next(Vectors *vectors, char **fields)
{
	int count = 0;

	if (*vectors->next == '\0')
		return false;
	while (count < VECTORS_MAX_COLUMNS && vectors_split_field(&vectors->next, &fields[count]))
		count++;
	vectors->column_count = count + 1;
	vectors->row_count++;
	return true;
}

/* Opens root/path and reads the names of its columns.  A test without its vectors must not pass, so a missing file ends it. */
static inline Vectors
vectors_open(const char *root, const char *path)
{
	Vectors vectors = {.row_count = -1};
	char name[1024];
	FILE *file;
	size_t size;

	snprintf(name, sizeof(name), "%s/%s", root, path);
	file = fopen(name, "rb");
	if (file == NULL)
	{
		printf("cannot open %s\n", name);
		exit(1);
	}
	vectors.data = malloc(1 << 20);
	size = vectors.data != NULL ? fread(vectors.data, 1, (1 << 20) - 1, file) : 0;
	fclose(file);
	if (size == 0 || size == (1 << 20) - 1)
	{
		printf("%s is empty or too large\n", name);
		exit(1);
	}
	vectors.data[size] = '\0';
	vectors.next = vectors.data;
	vectors_next(&vectors, vectors.names);
	return vectors;
}

static inline bool
vectors_row(Vectors *vectors)
{
	return vectors_next(vectors, vectors->fields);
}

static inline void
vectors_close(Vectors *vectors)
{
	free(vectors->data);
}

/* The field of a named column. */
static inline char *
vectors_field(const Vectors *vectors, const char *name)
{
	for (int i = 0; i < vectors->column_count; i++)
		if (strcmp(vectors->names[i], name) == 0)
			return vectors->fields[i];
	printf("no column %s\n", name);
	exit(1);
}

static inline size_t
vectors_put_utf8(unsigned long c, char *out)
{
	if (c < 0x80)
	{
		out[0] = (char) c;
		return 1;
	}
	if (c < 0x800)
	{
		out[0] = (char) (0xC0 | c >> 6);
		out[1] = (char) (0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000)
	{
		out[0] = (char) (0xE0 | c >> 12);
		out[1] = (char) (0x80 | (c >> 6 & 0x3F));
		out[2] = (char) (0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | c >> 18);
	out[1] = (char) (0x80 | (c >> 12 & 0x3F));
	out[2] = (char) (0x80 | (c >> 6 & 0x3F));
	out[3] = (char) (0x80 | (c & 0x3F));
	return 4;
}

/* Reads the four hex digits after \u, and moves *from behind them. */
static inline unsigned long
vectors_read_hex(const char **from)
{
	char hex[5] = {0};

	memcpy(hex, *from, 4);
	*from += 4;
	return strtoul(hex, NULL, 16);
}

/* Decodes a JSON string in quotes to UTF-8, in place: no escape is shorter than what it stands for.  Returns its length. */
static inline size_t
vectors_decode_json(char *json)
{
	static const char letters[] = "bfnrt";
	static const char values[] = "\b\f\n\r\t";
	const char *p = json + 1;
	size_t length = 0;

	while (*p != '"' && *p != '\0')
	{
		const char *letter;

		if (*p != '\\')
			json[length++] = *p++;
		else if (p[1] == 'u')
		{
			unsigned long c;

			p += 2;
			c = vectors_read_hex(&p);
			if (c >= 0xD800 && c <= 0xDBFF && p[0] == '\\' && p[1] == 'u')
			{
				p += 2;
				c = 0x10000 + ((c - 0xD800) << 10) + (vectors_read_hex(&p) - 0xDC00);
			}
			length += vectors_put_utf8(c, json + length);
		}
		else
		{
			letter = strchr(letters, p[1]);
			json[length++] = letter != NULL ? values[letter - letters] : p[1];
			p += 2;
		}
	}
	json[length] = '\0';
	return length;
}

#endif
