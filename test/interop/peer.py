"""A peer in Python: peer.py kombu|pika produce|consume URL NAME COUNT. Writes one line of JSON per message.

consume declares the queue NAME, bound to the topic exchange NAME with `greeting.*`, says "ready", and acks COUNT
messages; with COUNT 0 it acks none and holds what it gets until it is killed. produce sends COUNT messages to that exchange and waits for a confirm of each.
"""

import json
import sys

library, action, url, name = sys.argv[1:5]
count = int(sys.argv[5])
HEADERS = {"text": "grüße", "number": 7, "big": 1 << 40, "yes": True, "half": 0.5, "list": [1, "two"], "table": {"deep": "er"}}


def say(body, properties, headers, delivery):
    print(json.dumps({"body": body, "properties": properties, "headers": headers, **delivery}), flush=True)


def kombu_produce():
    from kombu import Connection, Exchange, Producer

    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        producer = Producer(connection, exchange=Exchange(name, "topic"), serializer="json")
        for n in range(count):
            producer.publish({"n": n}, routing_key="greeting.kombu", headers=HEADERS, message_id=f"kombu-{n}", expiration=60, mandatory=True)
    print("produced", flush=True)


def kombu_consume():
    from kombu import Connection, Consumer, Exchange, Queue

    seen = 0

    def on_message(body, message):
        nonlocal seen
        properties = {key: message.properties.get(key) for key in ("message_id", "priority", "delivery_mode", "type", "correlation_id")}
        properties["content_type"] = message.content_type
        info = message.delivery_info
        say(body, properties, message.headers, {"redelivered": info["redelivered"], "routing_key": info["routing_key"]})
        if count > 0:
            message.ack()
        seen += 1

    with Connection(url, heartbeat=10) as connection:
        queue = Queue(name, Exchange(name, "topic"), routing_key="greeting.*")
        with Consumer(connection, [queue], callbacks=[on_message], accept=["json"], prefetch_count=20):
            print("ready", flush=True)
            while count == 0 or seen < count:
                connection.drain_events(timeout=60)


def pika_produce():
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.exchange_declare(name, "topic", durable=True)
    channel.confirm_delivery()
    headers = {key: value for key, value in HEADERS.items() if key != "half"}
    for n in range(count):
        properties = pika.BasicProperties(content_type="application/json", headers=headers, message_id=f"pika-{n}", delivery_mode=2)
        channel.basic_publish(name, "greeting.pika", json.dumps({"n": n}).encode(), properties, mandatory=True)
    connection.close()
    print("produced", flush=True)


def pika_consume():
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.exchange_declare(name, "topic", durable=True)
    channel.queue_declare(name, durable=True)
    channel.queue_bind(name, name, "greeting.*")
    channel.basic_qos(prefetch_count=20)
    seen = 0

    def on_message(channel, method, properties, body):
        nonlocal seen
        told = {key: getattr(properties, key) for key in ("message_id", "priority", "delivery_mode", "type", "correlation_id", "content_type")}
        say(json.loads(body), told, properties.headers, {"redelivered": method.redelivered, "routing_key": method.routing_key})
        if count > 0:
            channel.basic_ack(method.delivery_tag)
        seen += 1
        if seen == count:
            channel.stop_consuming()

    channel.basic_consume(name, on_message)
    print("ready", flush=True)
    channel.start_consuming()
    connection.close()


{"kombu": {"produce": kombu_produce, "consume": kombu_consume}, "pika": {"produce": pika_produce, "consume": pika_consume}}[library][action]()
