/* The pages of the report, and what each asks the database. */
#ifndef SMSFLOWD_PAGE_H
#define SMSFLOWD_PAGE_H

#include <event2/buffer.h>

#include "html.h"

struct page
{
	const char *path;  /* ends with a slash if an argument follows */
	const char *title; /* NULL: the argument gives it, by a first section of shape TITLE */
	const char *menu;  /* its name in the navigation; NULL: it is not there */
	const struct section *sections;
	int section_count;
};

/* The page of a path, and its argument, which points into the path or is NULL; NULL: there is no such page. */
const struct page *page_find(const char *path, const char **argument);

/* Appends the whole of a page: its frame around the sections, which are taken over. The title is of the database. */
void page_append(struct evbuffer *html, const struct page *page, const char *title, struct evbuffer *sections);

/* Appends a page that only says something. */
void page_append_words(struct evbuffer *html, const char *title, const char *words);

#endif
