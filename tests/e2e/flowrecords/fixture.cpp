// SPDX-License-Identifier: MIT
#include "tests/e2e/flowrecords/fixture.h"

#include <unistd.h>

#include <fstream>
#include <regex>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/net/prefix.h"

namespace kudo::test {
namespace {

// "2001:0db8:0077::0129" as "2001:db8:77::129".
std::string plain(const std::string& address) {
    const auto parsed = Address::parse(address);
    return parsed ? parsed->text() : address;
}

std::string key_of(const std::string& local, int local_port, const std::string& remote, int remote_port) {
    return fmt::format("{}:{} {}:{}", plain(local), local_port, plain(remote), remote_port);
}

void add(FlowSums& sums, const std::string& key, const std::array<uint64_t, 4>& counted) {
    for (std::size_t i = 0; i < counted.size(); i++)
        sums[key][i] += counted[i];
}

// The connection that was made last is in the file with the highest number. A client that goes is no error.
constexpr const char* storing_program = R"(
import os, socket, ssl, sys, threading
folder, port, certificate, key = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = None
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
listener = socket.create_server(("127.0.0.1", port))
while True:
    line, _ = listener.accept()
    try:
        if context:
            line = context.wrap_socket(line, server_side=True)
        name = f"{folder}/{len(os.listdir(folder))}.ipfix"
        with open(name, "wb", buffering=0) as file:
            while data := line.recv(65536):
                file.write(data)
    except OSError as error:
        print(error, flush=True)
    line.close()
)";

} // namespace

std::string text_of(const FlowSums& sums) {
    std::string text;
    for (const auto& [key, counted] : sums)
        text += fmt::format("{}: {}\n", key, fmt::join(counted, " "));
    return text;
}

std::vector<std::string> storing_collector(const std::filesystem::path& folder, int port,
                                           const TestAuthority::Pair* tls) {
    std::filesystem::create_directories(folder);
    return {"python3",
            "-c",
            storing_program,
            folder,
            std::to_string(port),
            tls ? tls->certificate.string() : "",
            tls ? tls->key.string() : ""};
}

void FlowRecordTest::SetUp() {
    LineTest::SetUp();
    if (!test_) return;
    enable();
    apply_map_with_ipv6();
}

std::unique_ptr<RunningService> FlowRecordTest::start(std::vector<std::string> arguments,
                                                      const std::vector<std::string>& wrapper) const {
    arguments.insert(arguments.end(), {"--flow-records-every", "1s", "--reconcile-every", "1s"});
    return std::make_unique<RunningService>(*test_, arguments, std::vector<std::string>{}, wrapper);
}

std::unique_ptr<ServerProcess> run_in(const NetworkNamespace& space, std::vector<std::string> argv) {
    argv.insert(argv.begin(), {"nsenter", fmt::format("--net=/proc/{}/fd/{}", getpid(), space.fd())});
    return std::make_unique<ServerProcess>(argv);
}

void FlowRecordTest::talk(uint16_t first_port, int flows, unsigned packets) const {
    const Endpoint there4{media_address, 3478}, there6{media_address6, 3478};
    const Fd far4 = udp_socket(test_->far, there4), far6 = udp_socket(test_->far, there6);
    for (int flow = 0; flow < flows; flow++) {
        const bool v6 = flow % 3 == 2;
        const Endpoint here{v6 ? host_address6 : host_address, static_cast<uint16_t>(first_port + flow)};
        const Fd near = udp_socket(test_->host, here);
        send_datagrams(near.get(), v6 ? there6 : there4, (v6 ? far6 : far4).get(), packets, 100 + flow % 50);
        send_datagrams((v6 ? far6 : far4).get(), here, near.get(), packets / 2 + 1, 200);
    }
}

FlowSums FlowRecordTest::sums_of_stats() const {
    FlowSums sums;
    const auto stats = test_->stats();
    for (const auto& flow : stats.at("flows")) {
        if (flow.at("local_port").is_null()) continue;
        add(sums, key_of(flow.at("local"), flow.at("local_port"), flow.at("remote"), flow.at("remote_port")),
            {flow.at("egress").at("packets"), flow.at("egress").at("bytes"), flow.at("ingress").at("packets"),
             flow.at("ingress").at("bytes")});
    }
    return sums;
}

FlowSums FlowRecordTest::sums_of_lines(const std::string& text) {
    FlowSums sums;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const auto flow = nlohmann::json::parse(line, nullptr, false);
        if (flow.is_discarded()) {
            sums["no JSON: " + line] = {};
            continue;
        }
        add(sums, key_of(flow.at("local"), flow.at("local_port"), flow.at("remote"), flow.at("remote_port")),
            {flow.at("egress").at("packets"), flow.at("egress").at("bytes"), flow.at("ingress").at("packets"),
             flow.at("ingress").at("bytes")});
    }
    return sums;
}

FlowSums FlowRecordTest::sums_of_nfdump(const std::filesystem::path& folder) {
    FlowSums sums;
    const Outcome read = run_program({"nfdump", "-R", folder, "-o", "json"});
    const auto flows = nlohmann::json::parse(read.out, nullptr, false);
    if (!flows.is_array()) return sums;
    for (const auto& flow : flows) {
        const char* const family = flow.contains("src4_addr") ? "4" : "6";
        add(sums,
            key_of(flow.at(fmt::format("src{}_addr", family)), flow.at("src_port"),
                   flow.at(fmt::format("dst{}_addr", family)), flow.at("dst_port")),
            {flow.at("in_packets"), flow.at("in_bytes"), flow.value("out_packets", uint64_t{0}),
             flow.value("out_bytes", uint64_t{0})});
    }
    return sums;
}

FlowSums FlowRecordTest::sums_of_pmacct(const std::filesystem::path& file) {
    FlowSums sums;
    std::istringstream lines(content_of(file));
    for (std::string line; std::getline(lines, line);) {
        const auto row = nlohmann::json::parse(line, nullptr, false);
        if (row.is_discarded()) continue; // it is just being written
        // What it does not know is a part of the key, and not added up.
        const auto times = row.at("flows").get<uint64_t>();
        const auto reverse = [&](const char* name) { return times * std::stoull(row.at(name).get<std::string>()); };
        add(sums, key_of(row.at("ip_src"), row.at("port_src"), row.at("ip_dst"), row.at("port_dst")),
            {row.at("packets"), row.at("bytes"), reverse("revpackets"), reverse("revbytes")});
    }
    return sums;
}

FlowSums FlowRecordTest::sums_of_ipfix(const std::filesystem::path& file) {
    FlowSums sums;
    const Outcome read = run_program({"ipfixDump", "--rfc5610", "--in", file});
    std::map<std::string, std::string> fields;
    const auto end_record = [&] {
        const bool v4 = fields.contains("sourceIPv4Address");
        if (fields.contains("packetDeltaCount"))
            add(sums,
                key_of(fields[v4 ? "sourceIPv4Address" : "sourceIPv6Address"], std::stoi(fields["sourceTransportPort"]),
                       fields[v4 ? "destinationIPv4Address" : "destinationIPv6Address"],
                       std::stoi(fields["destinationTransportPort"])),
                {std::stoull(fields["packetDeltaCount"]), std::stoull(fields["octetDeltaCount"]),
                 std::stoull(fields["reversePacketDeltaCount"]), std::stoull(fields["reverseOctetDeltaCount"])});
        fields.clear();
    };
    // "	(  1)                 octetDeltaCount : 1280"
    static const std::regex field(R"(^\s*(?:\d+/)?\(?\s*[\d/]+\)\s*(?:\(S\))?\s*(\w+) : (?:\(len: \d+\) )?(.*)$)");
    std::istringstream lines(read.out);
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        if (line.starts_with("---")) end_record();
        if (std::regex_match(line, match, field)) fields[match[1]] = match[2];
    }
    end_record();
    return sums;
}

std::string FlowRecordTest::content_of(const std::filesystem::path& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
}

} // namespace kudo::test
