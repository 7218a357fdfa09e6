#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the recordings of RTP beside this file: what real encoders and payloaders send, without what it says.

    tests/recordings/record.py [NAME]...        default: all

Needs root, gstreamer1.0-tools, gstreamer1.0-plugins-{base,good,bad,ugly} and ffmpeg, as Debian 12 has them. What they
send stays in a network namespace. The commands are in the files that they made. A second run gives other numbers and,
where encoders use several threads, other sizes.

A recording has a line for each packet: the stream's number, then sequence number, timestamp, size in bytes with SRTP's
tag of 10, marker, P bit and payload type. Of what the streams are, `video:unknown` is video that its headers do not show
to be video. What Debian's programs do not do is derived from a recording, as stated there.
"""
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
SRTP_TAG = 10  # RFC 3711 section 3.1, AES_CM_128_HMAC_SHA1_80

NOISE = "audiotestsrc wave=pink-noise volume=0.3 samplesperbuffer=480 num-buffers=%d ! audio/x-raw,rate=%d,channels=%d"
SPURTS = ("audiotestsrc wave=ticks tick-interval=1500000000 sine-periods-per-tick=250 volume=0.6 samplesperbuffer=480 "
          "num-buffers=3000 ! audio/x-raw,rate=48000,channels=1")
BALL = "videotestsrc pattern=ball num-buffers=%d ! video/x-raw,width=%d,height=%d,framerate=%s"
SNOW = "videotestsrc pattern=snow num-buffers=%d ! video/x-raw,width=%d,height=%d,framerate=%s"
CAMERA = "videotestsrc pattern=zone-plate kx2=20 ky2=20 kt=1 num-buffers=%d ! video/x-raw,width=%d,height=%d,framerate=%s"


def opus(frame, rate, more="", pay="rtpopuspay pt=111", source=None, buffers=1400):
    source = source or NOISE % (buffers, 48000, 2 if rate > 200 else 1)
    return f"{source} ! opusenc frame-size={frame} bitrate={rate}000 {more} ! {pay}".replace("  ", " ")


def vp8(source, rate, more=""):
    return (f"{source} ! vp8enc deadline=1 cpu-used=8 end-usage=cbr target-bitrate={rate}000 keyframe-max-dist=3000 {more}"
            " ! rtpvp8pay pt=96 mtu=1200 picture-id-mode=15-bit").replace("  ", " ")


def h264(source, rate):
    return (f"{source} ! x264enc tune=zerolatency speed-preset=superfast bitrate={rate} key-int-max=3000 sliced-threads=false"
            " ! rtph264pay pt=102 mtu=1200 aggregate-mode=zero-latency")


# name: what it is, how many packets are kept, GStreamer pipelines by stream with its kind
PIPELINES = {
    "opus-20ms-6k": ("voice at 6 kbit/s", 120, [("audio", opus(20, 6))]),
    "opus-20ms-32k": ("voice as browsers send it", 120, [("audio", opus(20, 32))]),
    "opus-20ms-128k": ("music", 120, [("audio", opus(20, 128))]),
    "opus-20ms-510k": ("music in stereo at Opus's highest rate", 120, [("audio", opus(20, 510, "bitrate-type=cbr"))]),
    "opus-60ms-64k": ("long frames", 120, [("audio", opus(60, 64, buffers=900))]),
    "opus-10ms-64k": ("short frames", 120, [("audio", opus(10, 64))]),
    "opus-40ms-32k-fec": ("in-band FEC and 40 ms frames", 120,
                          [("audio", opus(40, 32, "inband-fec=true packet-loss-percentage=20 audio-type=voice"))]),
    "opus-20ms-fec": ("in-band FEC", 120,
                      [("audio", opus(20, 32, "inband-fec=true packet-loss-percentage=20 audio-type=voice"))]),
    "red-60ms-64k": ("Opus with RED (RFC 2198), one frame repeated", 120,
                     [("audio", opus(60, 64, buffers=900) + " ! rtpredenc pt=63 distance=1 allow-no-red-blocks=true")]),
    "red-20ms-32k": ("Opus with RED (RFC 2198), two frames' distance", 120,
                     [("audio", opus(20, 32) + " ! rtpredenc pt=63 distance=2 allow-no-red-blocks=true")]),
    "opus-20ms-dtx": ("silence left out (DTX)", 160,
                      [("audio", opus(20, 32, "dtx=true audio-type=voice", "rtpopuspay pt=111 dtx=true", SPURTS))]),
    "pcmu-20ms": ("G.711, telephones", 120,
                  [("audio", NOISE % (400, 8000, 1) + " ! mulawenc ! rtppcmupay min-ptime=20000000 max-ptime=20000000")]),
    "vp8-15fps-30k": ("a thumbnail: a packet a picture", 120, [("video", vp8(BALL % (220, 160, 120, "15/1"), 30))]),
    "vp8-30fps-60k": ("a thumbnail: a packet a picture", 120, [("video", vp8(BALL % (220, 160, 120, "30/1"), 60))]),
    "vp8-30fps-2m": ("a camera", 200, [("video", vp8(CAMERA % (60, 1280, 720, "30/1"), 2000))]),
    "vp8-15fps-500k": ("a camera", 200, [("video", vp8(CAMERA % (100, 640, 360, "15/1"), 500))]),
    "vp8-31fps-60k": ("pictures 32 ms apart, as long as 60 ms of Opus by the timestamps: a packet a picture", 120,
                      [("video:unknown", vp8(BALL % (220, 160, 120, "125/4"), 60))]),
    "vp8-62fps-60k": ("pictures 16 ms apart, as long as 30 ms of Opus by the timestamps: a packet a picture", 120,
                      [("video:unknown", vp8(BALL % (220, 160, 120, "125/2"), 60))]),
    "vp8-19fps-200k": ("pictures 53.3 ms apart, as long as 100 ms of Opus by the timestamps: one to two packets a picture",
                       120, [("video", vp8(SNOW % (220, 160, 120, "75/4"), 200))]),
    "vp8-31fps-300k": ("pictures 32 ms apart: one to two packets a picture", 120,
                       [("video", vp8(SNOW % (220, 160, 120, "125/4"), 300))]),
    "h264-15fps-40k": ("a thumbnail: a packet a picture", 120, [("video", h264(BALL % (220, 160, 120, "15/1"), 40))]),
    "h264-30fps-60k": ("a thumbnail: a packet a picture", 120, [("video", h264(BALL % (220, 160, 120, "30/1"), 60))]),
    "h264-30fps-2m": ("a camera", 200, [("video", h264(CAMERA % (60, 1280, 720, "30/1"), 2000))]),
    "h264-15fps-500k": ("a camera", 200, [("video", h264(CAMERA % (100, 640, 360, "15/1"), 500))]),
    "screen-5fps": ("a shared screen that hardly changes", 120, [("video", vp8(BALL % (220, 1280, 720, "5/1"), 300))]),
    "simulcast": ("one camera in three sizes", 80,
                  [("video", vp8(CAMERA % (200, width, height, "30/1"), rate))
                   for width, height, rate in ((160, 90, 60), (320, 180, 200), (640, 360, 500))]),
}

# The same of ffmpeg, which packs what GStreamer does not.
FFMPEG = {
    "opus-120ms-32k": ("the longest packets", 120, "audio",
                       "-f lavfi -i anoisesrc=color=pink:duration=16:sample_rate=48000 -c:a libopus -b:a 32k "
                       "-frame_duration 120 -f ogg {file}", "filesrc location={file} ! oggdemux ! opusparse ! rtpopuspay pt=111"),
    "g722-20ms": ("G.722, whose clock counts 8000 a second for 16000 samples (RFC 3551 section 4.5.2)", 120, "audio",
                  "-f lavfi -i anoisesrc=color=pink:duration=3:sample_rate=16000 -c:a g722 -frame_size 320 -ac 1 "
                  "-f rtp rtp://127.0.0.1:{port}?pkt_size=172", None),
    "ffmpeg-opus-20ms": ("ffmpeg's own packets, each of which has the marker", 120, "audio",
                         "-f lavfi -i anoisesrc=color=pink:duration=3:sample_rate=48000 -c:a libopus -b:a 64k "
                         "-f rtp rtp://127.0.0.1:{port}", None),
}


def fields(packet):
    first, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", packet[:12])
    return {"sequence": sequence, "timestamp": timestamp, "size": len(packet) + SRTP_TAG, "marker": second >> 7,
            "padding": first >> 5 & 1, "payload_type": second & 127}


def received(command):
    """What RTP the command sends to the port that takes the place of {port}."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(0.5)
    port = receiver.getsockname()[1]
    subprocess.run([word.format(port=port) for word in command], check=True, stdout=subprocess.DEVNULL)
    packets = []
    try:
        while True:
            packet = receiver.recv(65536)
            if not 192 <= packet[1] <= 223:  # not RTCP
                packets.append(fields(packet))
    except TimeoutError:
        return packets


def gstreamer(pipeline):
    sink = "udpsink host=127.0.0.1 port={port} sync=false"
    return received(["gst-launch-1.0", "-q", *f"{pipeline} ! {sink}".split()])


def ffmpeg(arguments, pipeline):
    command = ["ffmpeg", "-v", "error", "-y"]
    if not pipeline:
        return received([*command, *arguments.split()])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "encoded")
        subprocess.run([*command, *arguments.format(file=path).split()], check=True, stdout=subprocess.DEVNULL)
        return gstreamer(pipeline.format(file=path))


def write(name, what, how, kinds, streams, count):
    """In the order of time, by each stream's own share of its packets."""
    order = sorted((i / len(packets), stream, packet) for stream, packets in enumerate(streams)
                   for i, packet in enumerate(packets[:count]) if packet)
    with open(os.path.join(FOLDER, name + ".csv"), "w", encoding="ascii") as file:
        file.write(f"# {what}\n" + "".join(f"# {line}\n" for line in how))
        file.write("# streams: " + " ".join(kinds) + "\nstream,sequence,timestamp,size,marker,padding,payload_type\n")
        for _, stream, packet in order:
            file.write(f"{stream}," + ",".join(str(packet[key]) for key in (
                "sequence", "timestamp", "size", "marker", "padding", "payload_type")) + "\n")
    print(f"{name}: {len(order)} packets")


def read(name):
    with open(os.path.join(FOLDER, name + ".csv"), encoding="ascii") as file:
        lines = [line.split(",") for line in file.read().splitlines() if line[0].isdigit()]
    keys = ("sequence", "timestamp", "size", "marker", "padding", "payload_type")
    return [dict(zip(keys, map(int, line[1:]))) for line in lines]


def numbered(packets):
    for i, packet in enumerate(packets):
        packet["sequence"] = (packets[0]["sequence"] + i) & 0xffff
    return packets


def probed(packets, seed):
    """Chromium probes the bandwidth with RTP that is padding only, on the audio's SSRC: bursts from the beginning on."""
    chance, out = random.Random(seed), []
    for i, packet in enumerate(packets):
        out.append(dict(packet))
        if i in (0, 1, 3) or i % 7 == 5:
            for _ in range(chance.randint(1, 5)):
                out.append(dict(packet, size=chance.randint(84, 293), padding=1, marker=0))
    return numbered(out)


def retransmitted(packets, every, late):
    """Every so many packets again, so many packets later, by a stream of its own (RFC 4588). None: nothing to send."""
    out, sequence = [], 20000
    for i in range(len(packets)):
        again = packets[i - late] if i >= late and (i - late) % every == 0 else None
        if again:
            out.append(dict(again, sequence=sequence, size=again["size"] + 2, payload_type=97))
            sequence += 1
        else:
            out.append(None)
    return out


def in_milliseconds(packets):
    """Browsers stamp pictures with whole milliseconds, and cameras are not punctual."""
    chance, out, last, moved = random.Random(5), [], None, 0
    for packet in packets:
        if packet["timestamp"] != last:
            last, moved = packet["timestamp"], chance.randint(-1, 1)
        out.append(dict(packet, timestamp=(packet["timestamp"] // 90 + moved) * 90 & 0xffffffff))
    return out


DERIVED = {
    "opus-20ms-128k-probes": lambda: ("opus-20ms-128k", "probed", ["audio"], [probed(read("opus-20ms-128k"), 1)]),
    "pcmu-20ms-probes": lambda: ("pcmu-20ms", "probed", ["audio"], [probed(read("pcmu-20ms"), 2)]),
    "opus-60ms-64k-probes": lambda: ("opus-60ms-64k", "probed", ["audio"], [probed(read("opus-60ms-64k"), 3)]),
    "vp8-30fps-60k-ms": lambda: ("vp8-30fps-60k", "in_milliseconds", ["video"], [in_milliseconds(read("vp8-30fps-60k"))]),
    "vp8-31fps-300k-ms": lambda: ("vp8-31fps-300k", "in_milliseconds", ["video"],
                                  [in_milliseconds(read("vp8-31fps-300k"))]),
    "rtx-30fps-2m": lambda: ("vp8-30fps-2m", "retransmitted", ["video", "rtx"],
                             [read("vp8-30fps-2m"), retransmitted(read("vp8-30fps-2m"), 7, 20)]),
    "rtx-31fps-60k": lambda: ("vp8-31fps-60k", "retransmitted", ["video:unknown", "rtx"],
                              [read("vp8-31fps-60k"), retransmitted(read("vp8-31fps-60k"), 3, 5)]),
    "rtx-31fps-300k": lambda: ("vp8-31fps-300k", "retransmitted", ["video", "rtx"],
                               [read("vp8-31fps-300k"), retransmitted(read("vp8-31fps-300k"), 2, 5)]),
}


def main():
    if "KUDO_RECORDS" not in os.environ:  # packets stay in a namespace
        os.environ["KUDO_RECORDS"] = "1"
        script = 'ip link set lo up && exec "$@"'
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", script, "sh", sys.executable, *sys.argv])
    wanted = sys.argv[1:] or [*PIPELINES, *FFMPEG, *DERIVED]
    for name in wanted:
        if name in PIPELINES:
            what, count, streams = PIPELINES[name]
            how = [f"gst-launch-1.0 {pipeline} ! udpsink" for _, pipeline in streams]
            write(name, what, how, [kind for kind, _ in streams], [gstreamer(pipeline) for _, pipeline in streams], count)
        elif name in FFMPEG:
            what, count, kind, arguments, pipeline = FFMPEG[name]
            how = [f"ffmpeg {arguments}"] + ([f"gst-launch-1.0 {pipeline} ! udpsink"] if pipeline else [])
            write(name, what, how, [kind], [ffmpeg(arguments, pipeline)], count)
        else:
            origin, way, kinds, streams = DERIVED[name]()
            write(name, f"{origin}.csv, {way}() of record.py", [], kinds, streams, 1000)


if __name__ == "__main__":
    main()
