// SPDX-License-Identifier: MIT
#include "tests/support/recordings.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

namespace kudo::test {

// The files' names and contents, compiled in.
struct RecordedFile {
    std::string_view name, content;
};
extern const std::vector<RecordedFile> recorded_files;

namespace {

constexpr std::size_t from_fifth = 4;

Recording read(const RecordedFile& file) {
    Recording recording{.name = std::string(file.name), .kinds = {}, .shown = {}, .packets = {}};
    std::istringstream lines{std::string(file.content)};
    const std::string streams = "# streams: ";
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(streams)) {
            std::istringstream kinds(line.substr(streams.size()));
            for (std::string kind; kinds >> kind;) {
                recording.kinds.push_back(kind.substr(0, kind.find(':')));
                recording.shown.push_back(kind.substr(kind.find(':') + 1));
            }
        }
        if (line.empty() || line[0] < '0' || line[0] > '9') continue;
        std::ranges::replace(line, ',', ' ');
        std::istringstream numbers(line);
        unsigned stream = 0, sequence = 0, timestamp = 0, size = 0, marker = 0, padding = 0, payload_type = 0;
        numbers >> stream >> sequence >> timestamp >> size >> marker >> padding >> payload_type;
        if (!numbers || stream >= recording.kinds.size()) throw std::runtime_error(recording.name + ": " + line);
        recording.packets.push_back({.stream = stream,
                                     .sequence = static_cast<uint16_t>(sequence),
                                     .timestamp = timestamp,
                                     .size = size,
                                     .marker = marker != 0,
                                     .padding = padding != 0,
                                     .payload_type = static_cast<uint8_t>(payload_type)});
    }
    if (recording.packets.empty()) throw std::runtime_error(recording.name + ": empty");
    return recording;
}

void append(Bytes& bytes, uint32_t value, int size) {
    while (size-- > 0)
        bytes.push_back(static_cast<uint8_t>(value >> 8 * size));
}

double percent(std::size_t part, std::size_t whole) {
    return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

} // namespace

const std::vector<Recording>& recordings() {
    static const std::vector<Recording> all = [] {
        std::vector<Recording> list;
        std::ranges::transform(recorded_files, std::back_inserter(list), read);
        return list;
    }();
    return all;
}

const Recording& recording(const std::string& name) {
    const auto found = std::ranges::find(recordings(), name, &Recording::name);
    if (found == recordings().end()) throw std::runtime_error("no recording " + name);
    return *found;
}

Bytes rtp_bytes(const RecordedPacket& packet) {
    Bytes bytes = {static_cast<uint8_t>(0x80 | (packet.padding ? 0x20 : 0)),
                   static_cast<uint8_t>((packet.marker ? 0x80 : 0) | packet.payload_type)};
    append(bytes, packet.sequence, 2);
    append(bytes, packet.timestamp, 4);
    append(bytes, recorded_ssrc(packet.stream), 4);
    bytes.resize(packet.size, 0x5a);
    return bytes;
}

Bytes in_channel_data(const Bytes& inner) {
    Bytes bytes;
    append(bytes, 0x4001, 2);
    append(bytes, static_cast<uint32_t>(inner.size()), 2);
    bytes.insert(bytes.end(), inner.begin(), inner.end());
    return bytes;
}

void DscpMatrix::add(const Recording& recording, const std::vector<bool>& ef) {
    for (unsigned stream = 0; stream < recording.kinds.size(); stream++) {
        Row row{.recording = recording.name, .kind = recording.kinds[stream]};
        std::size_t media = 0; // packets of the stream so far
        for (std::size_t i = 0; i < recording.packets.size(); i++) {
            if (recording.packets[i].stream != stream) continue;
            const std::size_t is_ef = ef.at(i) ? 1 : 0;
            if (recording.packets[i].padding) { // a probe of the bandwidth, which nobody hears
                row.probes_ef += is_ef;
                continue;
            }
            media++;
            row.packets++;
            row.ef += is_ef;
            if (media <= 2) row.guessed += is_ef;
            if (media <= from_fifth) continue;
            row.judged++;
            row.judged_ef += is_ef;
        }
        rows_.push_back(row);
    }
}

std::string DscpMatrix::text() const {
    std::string text = fmt::format("{:26}{:8}{:>9}{:>8}{:>8}{:>22}\n", "recording", "stream", "packets", "EF", "AF41",
                                   "EF from the fifth on");
    for (const Row& row : rows_)
        text += fmt::format("{:26}{:8}{:9}{:8}{:8}{:20.1f} %\n", row.recording, row.kind, row.packets, row.ef,
                            row.packets - row.ef, percent(row.judged_ef, row.judged));
    return text;
}

std::string DscpMatrix::wrong() const {
    std::string text;
    for (const Row& row : rows_) {
        if (row.kind != "audio" && row.ef != 0)
            text += fmt::format("{}: {} packets of {} are EF\n", row.recording, row.ef, row.kind);
        if (row.probes_ef != 0) text += fmt::format("{}: {} probes are EF\n", row.recording, row.probes_ef);
        if (row.kind == "audio" && (percent(row.judged_ef, row.judged) < 99 || row.guessed != 0))
            text += fmt::format("{}: audio is EF in {} of {} packets from the fifth on, and in {} of the first two\n",
                                row.recording, row.judged_ef, row.judged, row.guessed);
    }
    return text;
}

} // namespace kudo::test
