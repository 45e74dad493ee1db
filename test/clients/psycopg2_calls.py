# A store's application through psycopg2, and then through SQLAlchemy on top of it: see test/t/044_calls.pl.
import json
import sys
import psycopg2
import sqlalchemy


def through_psycopg2(db, person):
    with db.cursor() as cursor:
        cursor.execute("SELECT smsflow.subscribe(%s, %s, evidence => %s)", (person, ["transactional"], json.dumps({"ip": "192.0.2.7"})))
        db.commit()
        cursor.execute("SELECT smsflow.send(%s, %s)", (person, "rolled back"))
        db.rollback()
        cursor.execute("SELECT smsflow.send(%s, %s, vars => %s)", (person, "Order {{order}}", json.dumps({"order": "7"})))
        print(cursor.fetchone()[0])
        db.commit()
        try:
            cursor.execute("SELECT smsflow.send(%s, %s)", ("12", "nobody"))
        except psycopg2.Error as error:
            print(error.pgcode)
            db.rollback()


def through_sqlalchemy(engine, person):
    call = sqlalchemy.text
    with engine.begin() as db:
        db.execute(call("SELECT smsflow.subscribe(:person, :purposes, evidence => :evidence)"),
                   {"person": person, "purposes": ["transactional"], "evidence": json.dumps({"ip": "192.0.2.7"})})
    with engine.connect() as db:
        db.execute(call("SELECT smsflow.send(:person, :body)"), {"person": person, "body": "rolled back"})
    with engine.begin() as db:
        print(db.execute(call("SELECT smsflow.send(:person, :body, vars => :vars)"),
                         {"person": person, "body": "Order {{order}}", "vars": json.dumps({"order": "7"})}).scalar())
    try:
        with engine.begin() as db:
            db.execute(call("SELECT smsflow.send(:person, :body)"), {"person": "12", "body": "nobody"})
    except sqlalchemy.exc.DBAPIError as error:
        print(error.orig.pgcode)


if sys.argv[3] == "sqlalchemy":
    through_sqlalchemy(sqlalchemy.create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(sys.argv[1])), sys.argv[2])
else:
    through_psycopg2(psycopg2.connect(sys.argv[1]), sys.argv[2])
