"""The same app for Gunicorn."""
import os
import sys

from flask import Flask

TABLE = None
if os.environ.get("BENCH_TABLE"):
    with open(os.environ["BENCH_TABLE"], "rb") as file:
        TABLE = file.read()

app = Flask(__name__)


@app.get("/")
def hello():
    return {"hello": "world"}


@app.get("/who")
def who():
    return {"worker": str(os.getpid())}


@app.get("/block")
def block():
    while True:
        pass
