"""Kombu, Pika and py-amqp behind HTTP: peers.py URL [TRANSPORT_OPTIONS]. Says "port N", then answers POST /LIBRARY/OPERATION, arguments and result in JSON.

Operations: publish, consume, hold (as consume, without an ack, until this process ends), declare, declare_delays, call (ask and wait for the
answer), serve (answer what is asked). A value that JSON has no
word for is {"$": type, "value": text}.
"""

import base64
import datetime
import decimal
import json
import socket
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import amqp
import kombu
import pika

URL = sys.argv[1]
TRANSPORT_OPTIONS = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {"confirm_publish": True}
PATIENCE = 20


def revive(value):
    if isinstance(value, list):
        return [revive(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$" not in value:
        return {key: revive(item) for key, item in value.items()}
    readers = {"bytes": base64.b64decode, "datetime": datetime.datetime.fromisoformat, "decimal": decimal.Decimal}
    return readers[value["$"]](value["value"])


def tell(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$": "bytes", "value": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, datetime.datetime):
        return {"$": "datetime", "value": value.replace(tzinfo=None).isoformat()}
    if isinstance(value, decimal.Decimal):
        return {"$": "decimal", "value": str(value)}
    if isinstance(value, dict):
        return {key: tell(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tell(item) for item in value]
    return value


class Kombu:
    def connect(self):
        return kombu.Connection(URL, transport_options=TRANSPORT_OPTIONS)

    def queue(self, name, exchange=None, type="topic", key="", **sugar):
        return kombu.Queue(name, kombu.Exchange(exchange, type) if exchange else None, key, **sugar)

    def declare(self, **queue):
        with self.connect() as connection:
            self.queue(**queue)(connection.default_channel).declare()

    def declare_delays(self, top):
        """Celery's, from 5.5 on: a queue for each bit of the seconds to wait, which a message passes by where its bit is 0."""
        with self.connect() as connection:
            below = kombu.Exchange("celery_delayed_delivery", "topic")(connection.default_channel)
            below.declare()
            for level in range(top + 1):
                name, skipped = f"celery_delayed_{level}", "*." * (top - level)
                arguments = {
                    "x-queue-type": "quorum",
                    "x-overflow": "reject-publish",
                    "x-message-ttl": 2**level * 1000,
                    "x-dead-letter-exchange": below.name,
                    "x-dead-letter-strategy": "at-least-once",
                }
                exchange = kombu.Exchange(name, "topic")(connection.default_channel)
                exchange.declare()
                kombu.Queue(name, exchange, f"{skipped}1.#", queue_arguments=arguments)(connection.default_channel).declare()
                below.bind_to(name, f"{skipped}0.#")
                below = exchange

    def publish(self, messages, exchange=None, type="topic", declare=()):
        with self.connect() as connection:
            for queue in declare:
                self.queue(**queue)(connection.default_channel).declare()
            producer = kombu.Producer(connection, kombu.Exchange(exchange, type) if exchange else None)
            for message in messages:
                producer.publish(message.pop("body"), routing_key=message.pop("key"), mandatory=True, **message)

    def hold(self, count, name):
        self.held = self.connect()
        self.channel = self.held.channel()
        got = []
        kombu.Consumer(self.channel, [kombu.Queue(name)], callbacks=[lambda body, message: got.append(body)]).consume()
        while len(got) < count:
            self.held.drain_events(timeout=PATIENCE)
        return got

    def consume(self, count, accept=None, **queue):
        got = []

        def on_message(body, message):
            properties = {**message.properties, "content_type": message.content_type, "content_encoding": message.content_encoding}
            got.append({"body": body, "headers": message.headers, "key": message.delivery_info["routing_key"], **properties})
            message.ack()

        end = time.monotonic() + PATIENCE
        with self.connect() as connection:
            with kombu.Consumer(connection, [self.queue(**queue)], callbacks=[on_message], accept=accept):
                while len(got) < count:
                    try:
                        # On Redis it looks for what others left unacked only when one of these is over, and that before a second is.
                        connection.drain_events(timeout=0.5)
                    except socket.timeout:
                        if time.monotonic() > end:
                            raise
        return got

    def call(self, key, body, **options):
        answers = []
        with self.connect() as connection:
            consumer = kombu.Consumer(connection, [kombu.Queue("", exclusive=True)], no_ack=True)
            consumer.register_callback(lambda body, message: answers.append((body, message)))
            with consumer:
                mark, own = str(uuid.uuid4()), consumer.queues[0].name
                kombu.Producer(connection).publish(body, routing_key=key, reply_to=own, correlation_id=mark, **options)
                # It may have come while the confirm was waited for.
                while not answers:
                    connection.drain_events(timeout=PATIENCE)
        ((answer, message),) = answers
        return {"answer": answer, "matches": message.properties["correlation_id"] == mark}

    def serve(self, name):
        with self.connect() as connection:
            producer = kombu.Producer(connection)
            served = []

            def on_message(body, message):
                answer = {"heard": body}
                to = message.properties
                producer.publish(answer, routing_key=to["reply_to"], correlation_id=to["correlation_id"], compression="gzip")
                message.ack()
                served.append(answer)

            with kombu.Consumer(connection, [kombu.Queue(name)], callbacks=[on_message]):
                while not served:
                    connection.drain_events(timeout=PATIENCE)


class Pika:
    def connect(self):
        return pika.BlockingConnection(pika.URLParameters(URL))

    def declare(self, name, exchange=None, type="topic", key="", arguments=None):
        connection = self.connect()
        self.declare_on(connection.channel(), name, exchange, type, key, arguments)
        connection.close()

    def declare_on(self, channel, name, exchange=None, type="topic", key="", arguments=None):
        channel.queue_declare(name, durable=True, arguments=arguments)
        if exchange:
            channel.exchange_declare(exchange, type, durable=True)
            channel.queue_bind(name, exchange, key)

    def publish(self, messages, exchange="", type="topic"):
        connection = self.connect()
        channel = connection.channel()
        channel.confirm_delivery()
        if exchange:
            channel.exchange_declare(exchange, type, durable=True)
        for message in messages:
            body, key = message.pop("body"), message.pop("key")
            channel.basic_publish(exchange, key, as_bytes(body), pika.BasicProperties(**message), mandatory=True)
        connection.close()

    def hold(self, count, name):
        self.held = self.connect()
        got = []
        self.held.channel().basic_consume(name, lambda channel, method, properties, body: got.append(body))
        while len(got) < count:
            self.held.process_data_events(time_limit=PATIENCE)
        return got

    def consume(self, count, name, **queue):
        connection = self.connect()
        channel = connection.channel()
        self.declare_on(channel, name, **queue)
        got = []
        for method, properties, body in channel.consume(name, inactivity_timeout=PATIENCE):
            got.append({"body": body, "key": method.routing_key, **{key: value for key, value in vars(properties).items() if value is not None}})
            channel.basic_ack(method.delivery_tag)
            if len(got) == count:
                break
        connection.close()
        return got

    def serve(self, name):
        connection = self.connect()
        channel = connection.channel()
        for method, asked, body in channel.consume(name, inactivity_timeout=PATIENCE):
            properties = pika.BasicProperties(correlation_id=asked.correlation_id, content_type="application/json")
            channel.basic_publish("", asked.reply_to, json.dumps({"heard": json.loads(body)}).encode(), properties)
            channel.basic_ack(method.delivery_tag)
            break
        connection.close()

    def call(self, key, body, reply_to="", **properties):
        """With reply_to "amq.rabbitmq.reply-to" the answer comes without a queue."""
        connection = self.connect()
        channel = connection.channel()
        own = reply_to or channel.queue_declare("", exclusive=True).method.queue
        answers = []
        channel.basic_consume(own, lambda channel, method, properties, body: answers.append((properties, body)), auto_ack=True)
        mark = str(uuid.uuid4())
        channel.basic_publish("", key, as_bytes(body), pika.BasicProperties(reply_to=own, correlation_id=mark, **properties))
        while not answers:
            connection.process_data_events(time_limit=PATIENCE)
        ((answer_properties, answer),) = answers
        connection.close()
        return {"answer": answer, "matches": answer_properties.correlation_id == mark}


class PyAmqp:
    def connect(self):
        parts = pika.URLParameters(URL)
        user = parts.credentials
        connection = amqp.Connection(
            f"{parts.host}:{parts.port}", user.username, user.password, virtual_host=parts.virtual_host, confirm_publish=True
        )
        connection.connect()
        return connection

    def publish(self, messages, exchange="", type="topic"):
        with self.connect() as connection:
            channel = connection.channel()
            if exchange:
                channel.exchange_declare(exchange, type, durable=True, auto_delete=False)
            for message in messages:
                body, key = message.pop("body"), message.pop("key")
                channel.basic_publish_confirm(amqp.Message(as_bytes(body), **message), exchange, key, mandatory=True)

    def consume(self, count, name, arguments=None):
        got = []
        with self.connect() as connection:
            channel = connection.channel()
            channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)

            def on_message(message):
                got.append({"body": message.body, "key": message.delivery_info["routing_key"], **message.properties})
                channel.basic_ack(message.delivery_tag)

            channel.basic_consume(name, callback=on_message)
            while len(got) < count:
                connection.drain_events(timeout=PATIENCE)
        return got


def as_bytes(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        _, library, operation = self.path.split("/")
        arguments = revive(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        try:
            status, result = 200, getattr(PEERS[library], operation)(**arguments)
        except Exception as error:
            status, result = 500, f"{type(error).__name__}: {error}"
        body = json.dumps(tell(result)).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


PEERS = {"kombu": Kombu(), "pika": Pika(), "amqp": PyAmqp()}
server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
