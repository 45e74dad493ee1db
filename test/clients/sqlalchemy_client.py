# Reflects every view with SQLAlchemy and reads it: a type it does not know is a NullType, with a warning.
import sys
import warnings
import psycopg2
import sqlalchemy
from sqlalchemy.types import NullType

warnings.simplefilter("error")
engine = sqlalchemy.create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(sys.argv[1]))
inspector = sqlalchemy.inspect(engine)
with engine.connect() as db:
    for view in sorted(inspector.get_view_names(schema="smsflow_bi")):
        table = sqlalchemy.Table(view, sqlalchemy.MetaData(), schema="smsflow_bi", autoload_with=engine)
        for column in table.columns:
            print(view, column.name, "unknown" if isinstance(column.type, NullType) else "known")
        db.execute(sqlalchemy.select(table).limit(5)).fetchall()
