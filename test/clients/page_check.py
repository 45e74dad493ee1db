# Reads a page of the report from standard input and prints what is wrong with it: markup that is not well-formed, parts
# that a screen reader or a keyboard cannot use, and anything that would be fetched from elsewhere or run in the browser.

import sys
import xml.etree.ElementTree as tree

problems = []


def demand(condition, problem):
    if not condition:
        problems.append(problem)


def has_child(element, tag):
    return any(child.tag == tag for child in element)


def check_element(element, ids):
    if element.tag == 'table':
        demand(element[0].tag == 'caption' and element[0].text, 'a table has no caption')
    if element.tag == 'th':
        demand(element.get('scope') in ('row', 'col'), 'a heading of a table has no scope')
    if element.tag == 'svg':
        words = has_child(element, 'title') and has_child(element, 'desc') and element.get('role') == 'img'
        demand(words or element.get('aria-hidden') == 'true', 'a drawing has no words')
    if element.tag in ('section', 'svg') and element.get('aria-hidden') is None:
        demand(element.get('aria-labelledby'), 'a %s has no name' % element.tag)
    for name in (element.get('aria-labelledby') or '').split():
        demand(name in ids, 'there is nothing called %s' % name)
    demand(element.tag not in ('script', 'style', 'iframe', 'img', 'form'), 'there is a %s' % element.tag)
    for name, value in element.attrib.items():
        demand(not name.startswith('on') and name != 'style', 'there is an attribute %s' % name)
        if name in ('href', 'src'):
            demand(value.startswith(('/', '#', 'data:')) and not value.startswith('//'), '%s leads away' % value)


def check_outline(root):
    levels = [int(element.tag[1]) for element in root.iter() if element.tag in ('h1', 'h2', 'h3')]
    demand(levels.count(1) == 1 and levels[0] == 1, 'there is not one title')
    demand(all(b - a <= 1 for a, b in zip(levels, levels[1:])), 'a level of headings is left out')
    for tag in ('header', 'nav', 'main', 'footer', 'title'):
        demand(len(list(root.iter(tag))) >= 1, 'there is no %s' % tag)
    demand(root.get('lang'), 'the language is not said')


try:
    root = tree.fromstring(sys.stdin.read())
    names = [element.get('id') for element in root.iter() if element.get('id')]
    demand(len(names) == len(set(names)), 'a name stands for two things')
    for element in root.iter():
        check_element(element, names)
    check_outline(root)
except tree.ParseError as error:
    problems.append('it is not well-formed: %s' % error)
print('\n'.join(sorted(set(problems))))
