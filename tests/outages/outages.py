#!/usr/bin/env python3
"""Real outages: `everlink connect` against `everlink serve` in two network namespaces, with a network of our own between them.

    client in namespace ela ── TUN ── this program: delays or drops packets ── TUN ── server in namespace elb

No proxy can do this: in a black hole nobody gets a FIN, a RST or an ICMP error. A line is sent every 50 ms; the server echoes it, so
that what comes back tells what arrived, how often and in which order. Needs root and iproute2; no part of `cargo test`.

    cargo build --release -p everlink-cli
    tests/outages/outages.py target/release/everlink [--wire raw] [--state] [black-hole-5 black-hole-20 ...]

With --state both ends keep their state in files, so that a server that is killed goes on with its sessions.

Noticed: from the beginning of the fault to the client's first word that something is wrong. Live: from its end to the first line
that comes back. Exit code 1 where, on the native wire, a line is lost, doubled or out of order, or in doubt; where the server was killed
and had no file, some may be in doubt.
"""

import fcntl, heapq, json, os, select, signal, struct, subprocess, sys, tempfile, threading, time

CLIENT, SERVER, PORT = "10.77.1.2", "10.77.2.2", 9000
MOVED = "10.77.1.3"  # the client after its change of address
EVERY = 0.05


def sh(*words):
    subprocess.run(words, check=True)


def inside(space, *words):
    return ["ip", "netns", "exec", space, *words]


class Network:
    """Carries packets between two TUN devices: delayed, or not at all."""

    def __init__(self):
        self.delay, self.hole, self.banned, self.over = 0.02, False, set(), False
        self.ends = [self.end("ela", "ela0", CLIENT), self.end("elb", "elb0", SERVER)]
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    @staticmethod
    def end(space, device, address):
        subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)
        sh("ip", "netns", "add", space)
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH", device.encode(), 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
        sh("ip", "link", "set", device, "netns", space)
        sh(*inside(space, "ip", "addr", "add", address + "/16", "dev", device))
        sh(*inside(space, "ip", "link", "set", device, "up"))
        return tun

    def carry(self):
        waiting, number = [], 0
        while not self.over:
            rest = max(0, min(0.05, waiting[0][0] - time.monotonic())) if waiting else 0.05
            for tun in select.select(self.ends, [], [], rest)[0]:
                packet = os.read(tun, 65536)
                to = self.ends[1 - self.ends.index(tun)]
                if not self.hole and packet[0] >> 4 == 4 and not {packet[12:16], packet[16:20]} & self.banned:
                    number += 1
                    heapq.heappush(waiting, (time.monotonic() + self.delay, number, to, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(waiting)
                if not self.hole:
                    try:
                        os.write(to, packet)
                    except OSError:
                        pass  # a queue that is full drops packets, as networks do

    def close(self):
        self.over = True
        self.thread.join()
        for tun in self.ends:
            os.close(tun)
        for space in ("ela", "elb"):
            subprocess.run(["ip", "netns", "del", space])


class Run:
    def __init__(self, program, wire, state):
        self.program, self.network = program, Network()
        self.files = tempfile.TemporaryDirectory() if state else None
        self.server = None
        self.serve()
        words = [program, "connect", f"ws://{SERVER}:{PORT}/", "--wire", wire, "--json", "--linger", "20s"]
        words += ["--backoff.attempts", "forever"]
        words += self.state("client")
        pipe = subprocess.PIPE
        self.client = subprocess.Popen(inside("ela", *words), stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1)
        self.events, self.echoes, self.sent, self.feeding = [], [], 0, True
        self.threads = [threading.Thread(target=work) for work in (self.listen, self.read, self.feed)]
        for thread in self.threads:
            thread.start()

    def state(self, end):
        return ["--state", os.path.join(self.files.name, end)] if self.files else []

    def serve(self):
        words = inside("elb", self.program, "serve", f"{SERVER}:{PORT}", "--json", *self.state("server"))
        self.server = subprocess.Popen(words, stderr=subprocess.DEVNULL)

    def kill(self):
        self.server.send_signal(signal.SIGKILL)  # `ip netns exec` has become the server
        self.server.wait()

    def listen(self):
        self.events.extend(json.loads(line) for line in iter(self.client.stderr.readline, ""))

    def read(self):
        for line in iter(self.client.stdout.readline, ""):
            self.echoes.append((time.time(), int(line)))

    def feed(self):
        while self.feeding:
            self.sent += 1
            self.client.stdin.write(f"{self.sent}\n")
            time.sleep(EVERY)
        self.client.stdin.close()

    def end(self):
        self.feeding = False
        self.threads[2].join()
        self.client.wait(60)
        for thread in self.threads:
            thread.join()
        self.kill()
        self.network.close()
        if self.files:
            self.files.cleanup()


def hole(seconds):
    def play(run):
        run.network.hole = True
        time.sleep(seconds)
        run.network.hole = False
    return play


def gone(seconds):
    def play(run):
        run.kill()
        time.sleep(seconds)
        run.serve()
    return play


def moved(run):
    # As behind another access point: nothing reaches the old address any more, and nobody says so.
    run.network.banned = {bytes(map(int, CLIENT.split(".")))}
    sh(*inside("ela", "ip", "addr", "del", CLIENT + "/16", "dev", "ela0"))
    sh(*inside("ela", "ip", "addr", "add", MOVED + "/16", "dev", "ela0"))


def slow(run):
    run.network.delay = 0.4
    time.sleep(20)
    run.network.delay = 0.02


SCENARIOS = {
    "black-hole-5": hole(5),
    "black-hole-20": hole(20),
    "black-hole-60": hole(60),
    "server-killed": gone(1),
    "refused-10": gone(10),
    "address-change": moved,
    "slow-400": slow,
}


def after(times, start):
    late = [at - start for at in times if at >= start]
    return f"{min(late):.2f} s" if late else "never"


def judge(name, run, begun, healed, native):
    numbers = [number for _, number in run.echoes]
    summary = next((event for event in run.events if event["event"] == "summary"), {})
    at = lambda event: event["unix_ms"] / 1000
    wrong = [at(e) for e in run.events
             if e["event"] in ("close", "retry") or e["event"] == "status" and e["to"] != "connected"]
    lost = run.sent - len(set(numbers))
    twice = len(numbers) - len(set(numbers))
    first = list(dict.fromkeys(numbers))
    turned = sum(1 for before, number in zip(first, first[1:]) if number < before)
    doubt, never = summary.get("in_doubt"), summary.get("never_sent")
    closes = sum(1 for e in run.events if e["event"] == "close" and at(e) >= begun) - 1  # the last is the client's own
    print(f"| {name} | {after(wrong, begun)} | {after([at for at, _ in run.echoes], healed)} | {run.sent} | {lost} | {twice} | {turned} "
          f"| {doubt} | {never} | {closes} |", flush=True)
    killed = name in ("server-killed", "refused-10") and not run.files
    return not native or summary and twice == 0 and turned == 0 and (killed or lost == 0 and doubt == 0)


def main():
    arguments = sys.argv[1:]
    wire = "native"
    if "--wire" in arguments:
        wire = arguments.pop(arguments.index("--wire") + 1)
        arguments.remove("--wire")
    state = "--state" in arguments
    if state:
        arguments.remove("--state")
    if not arguments or os.geteuid() != 0 or any(name not in SCENARIOS for name in arguments[1:]):
        sys.exit(f"usage, as root: outages.py EVERLINK [--wire raw|native] [--state] [{' '.join(SCENARIOS)}]")
    program, good = os.path.abspath(arguments[0]), True
    print("| fault | noticed after | live after its end | lines | not echoed | twice | out of order | in doubt | never sent | sockets ended |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments[1:] or SCENARIOS:
        run = Run(program, wire, state)
        try:
            time.sleep(5)
            begun = time.time()
            SCENARIOS[name](run)
            healed = time.time()
            time.sleep(25)
        finally:
            run.end()
        keep = os.environ.get("OUTAGES_LOG")
        if keep:
            with open(os.path.join(keep, name + ".json"), "w") as log:
                log.writelines(json.dumps(event) + "\n" for event in run.events)
        good = judge(name, run, begun, healed, wire == "native") and good
    sys.exit(0 if good else 1)


main()
