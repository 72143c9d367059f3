#!/usr/bin/env python3
"""Checks webhooks as the vendor's page tells a receiver to. Standard library only; shares nothing with the sender.

    verify_webhook.py --secret SECRET FILE...      each FILE is one request as it came: headers, an empty line, the body
    verify_webhook.py --secret SECRET --serve PORT answers requests on 127.0.0.1:PORT and says of each whether it is genuine

The signature header is `t=<unix seconds>,v1=<hex>`. The signed text is the timestamp, a full stop, and the raw bytes of the
body; the digest is HMAC-SHA256 under the shared secret, as given. The status is 0 only if every request is genuine.
"""

import argparse
import hashlib
import hmac
import http.server
import json
import sys
import time


class NotGenuine(Exception):
    """Why a request is refused."""


def check(headers, body, secret, tolerance_s, now):
    """Returns the event's id, or raises NotGenuine. `headers` maps lower-case names to values; `body` is bytes."""
    for name in ("x-webhook-event", "x-webhook-id", "x-webhook-timestamp", "x-webhook-signature"):
        if name not in headers:
            raise NotGenuine(f"there is no {name} header")
    parts = {}
    for part in headers["x-webhook-signature"].split(","):
        key, _, value = part.partition("=")
        parts.setdefault(key.strip(), []).append(value.strip())
    timestamps = parts.get("t", [])
    if len(timestamps) != 1 or not timestamps[0].isdigit():
        raise NotGenuine("the signature has no timestamp")
    timestamp = timestamps[0]
    if timestamp != headers["x-webhook-timestamp"]:
        raise NotGenuine("the signed timestamp is not the one in the header")
    if abs(now - int(timestamp)) > tolerance_s:
        raise NotGenuine(f"the timestamp is more than {tolerance_s} s away")
    expected = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not any(hmac.compare_digest(expected, given) for given in parts.get("v1", [])):
        raise NotGenuine("the signature is wrong")
    if headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise NotGenuine("the content type is not application/json")
    if not headers["x-webhook-id"].startswith("evt_"):
        raise NotGenuine("the id does not begin with evt_")
    try:
        json.loads(body)
    except ValueError as error:
        raise NotGenuine(f"the body is no JSON: {error}") from error
    return headers["x-webhook-id"]


def read_request(path):
    """The headers and the body of a stored request. Lines of the head may end in CRLF or LF."""
    with open(path, "rb") as file:
        stored = file.read()
    ends = [(stored.find(end), len(end)) for end in (b"\r\n\r\n", b"\n\n") if end in stored]
    if not ends:
        raise NotGenuine("there is no empty line after the headers")
    at, length = min(ends)
    headers = {}
    for line in stored[:at].decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        # A request line such as `POST /hook HTTP/1.1` may stand first.
        if colon and " " not in name:
            headers[name.lower()] = value.strip()
    return headers, stored[at + length :]


def serve(port, secret, tolerance_s):
    """Answers for ever: 200 to genuine requests, 401 to others."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                print("genuine", check(headers, body, secret, tolerance_s, time.time()), body.decode(), flush=True)
                self.send_response(200)
            except NotGenuine as refusal:
                print("refused:", refusal, flush=True)
                self.send_response(401)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def main():
    parser = argparse.ArgumentParser(description="Checks webhooks as a receiver does.")
    parser.add_argument("--secret", required=True, help="the endpoint's secret")
    parser.add_argument("--tolerance", type=int, default=300, metavar="SECONDS", help="how old a request may be")
    parser.add_argument("--serve", type=int, metavar="PORT", help="receive instead of reading files")
    parser.add_argument("files", nargs="*", metavar="FILE")
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, options.secret, options.tolerance)
        return 0
    if not options.files:
        parser.error("name at least one file, or --serve")
    refused = 0
    for path in options.files:
        try:
            headers, body = read_request(path)
            print(f"{path}: genuine, {check(headers, body, options.secret, options.tolerance, time.time())}")
        except (NotGenuine, OSError) as refusal:
            refused += 1
            print(f"{path}: refused: {refusal}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
