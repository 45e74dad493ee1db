# Reads every view through psycopg2: a column whose type it does not know would come as text.
import sys
import psycopg2
from psycopg2 import extensions

with psycopg2.connect(sys.argv[1]) as db, db.cursor() as cursor:
    cursor.execute("SELECT viewname FROM pg_views WHERE schemaname = 'smsflow_bi' ORDER BY 1")
    for (view,) in cursor.fetchall():
        cursor.execute(f'SELECT * FROM smsflow_bi."{view}" LIMIT 5')
        for column in cursor.description:
            known = column.type_code in extensions.string_types or column.type_code == 3802
            print(view, column.name, "known" if known else f"unknown type {column.type_code}")
        cursor.fetchall()
