"""gunicorn -c gunicorn.conf.py app:app"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from consumer import GreetingConsumer  # noqa: E402

bind = os.environ.get("BIND", "127.0.0.1:8001")
workers = 1
consumers = [GreetingConsumer(number) for number in (1, 2, 3)]


def on_starting(server):
    for consumer in consumers:
        consumer.start()


def on_exit(server):
    for consumer in consumers:
        consumer.stop()
