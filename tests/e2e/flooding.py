"""A flood of connections that never become a client's: the effect of clients without a certificate on a port."""

from __future__ import annotations

# Runs by itself, in a pod or as another user: it keeps so many connections at an address, and opens again what is
# closed. Prints a line when each of them has been tried once. Kinds: "idle" says nothing; "half-open" begins a TLS
# handshake and never goes on; "no-certificate" finishes it without a certificate of its own, which the server sees
# after its client has.
PROGRAM = r"""
import contextlib, resource, selectors, socket, ssl, sys, time

address, port, count, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
events = selectors.DefaultSelector()
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
tried = refused = 0

def attempt():
    one = socket.socket()
    one.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        one.connect((address, port))
    events.register(one, selectors.EVENT_WRITE, connected)

def connected(one):
    if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return again(one)
    if kind == "half-open":
        one.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    if kind == "no-certificate":
        events.unregister(one)
        one = context.wrap_socket(one, do_handshake_on_connect=False)
        events.register(one, selectors.EVENT_READ, shaking)
        return shaking(one)
    events.modify(one, selectors.EVENT_READ, held)
    done()

def shaking(one):
    try:
        one.do_handshake()
    except ssl.SSLWantReadError:
        return
    except OSError:
        return again(one)
    events.modify(one, selectors.EVENT_READ, held)
    done()

def held(one):
    if not one.recv(4096):
        again(one)

def again(one):
    global refused
    refused += 1
    events.unregister(one)
    one.close()
    done()

def done():
    global tried
    tried += 1
    if tried == count:
        print("all tried, held:", len(events.get_map()), flush=True)

while True:
    for _ in range(min(50, count - len(events.get_map()))):
        attempt()
    for key, _ in events.select(timeout=0.1):
        try:
            key.data(key.fileobj)
        except ssl.SSLWantReadError:
            pass
        except OSError:
            again(key.fileobj)
    time.sleep(0.05)
"""
COUNT = 1500
KINDS = ("idle", "half-open", "no-certificate")
