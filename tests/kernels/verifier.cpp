// SPDX-License-Identifier: MIT
// How many instructions the verifier of the running kernel takes for each copy of the programs that the agent loads
// (agent/datapath/datapath.cpp, agent/drops/tracing.cpp). A million is the kernel's limit. tests/kernels/instructions
// holds it to a table.
//
//   kudo_verifier OBJECT...                 a line for each copy: object, copy, count or "refused"; an object whose
//   name
//                                           ends in -drops.o is the tracing program's
//   kudo_verifier --functions COPY OBJECT   of one copy: which function takes how many
//
// Status 1 if one is refused, with the end of the verifier's log on standard error.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/datapath.h"
#include "agent/drops/reasons.h"
#include "bpf/parse.h"

namespace {

struct Copy {
    kudo::Program which;
    const char* name; // as its pin's
    const char* program;
    uint32_t link = KUDO_LINK_ETHERNET, ingress_counts = 1, hands_over = 0;
};
using kudo::Program;
constexpr Copy copies[] = {
    {Program::Xdp, "xdp", "kudo_xdp"},
    {Program::XdpHandover, "xdp_handover", "kudo_xdp", KUDO_LINK_ETHERNET, 1, 1},
    {Program::XdpGeneric, "xdp_generic", "kudo_xdp", KUDO_LINK_ETHERNET, 0},
    {Program::TcIngress, "tc_ingress", "kudo_tc_ingress"},
    {Program::TcIngressMark, "tc_ingress_mark", "kudo_tc_ingress", KUDO_LINK_ETHERNET, 0},
    {Program::TcEgress, "tc_egress", "kudo_tc_egress"},
    {Program::IpTcIngress, "ip_tc_ingress", "kudo_tc_ingress", KUDO_LINK_NONE},
    {Program::IpTcEgress, "ip_tc_egress", "kudo_tc_egress", KUDO_LINK_NONE},
    {Program::Clock, "clock", "kudo_clock"},
};
constexpr Copy drop_copy{Program::Clock, "drop", "kudo_drop"}; // not of the data path's programs
static_assert(std::size(copies) == static_cast<std::size_t>(Program::Clock) + 1, "each Program has its row");

// What the verifier is to write: for a count, for the way to an error, for each instruction that it looks at.
enum LogLevel : uint32_t { Statistics = 4, LastPath = 4 | 1, EachStep = 4 | 2 };

struct ObjectClose {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, ObjectClose>;

// Compilers order constants as they like: where one lies is in the object's types.
bool set_constant(bpf_object* object, std::string_view name, uint32_t value) {
    const btf* types = bpf_object__btf(object);
    bpf_map* map = bpf_object__find_map_by_name(object, ".rodata");
    const int section = btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC);
    if (!map || section < 0) return false;
    std::size_t size = 0;
    const auto* initial = static_cast<const char*>(bpf_map__initial_value(map, &size));
    std::vector<char> content(initial, initial + size);
    const btf_type* variables = btf__type_by_id(types, static_cast<uint32_t>(section));
    for (uint32_t i = 0; i < btf_vlen(variables); i++) {
        const btf_var_secinfo& variable = btf_var_secinfos(variables)[i];
        if (btf__name_by_offset(types, btf__type_by_id(types, variable.type)->name_off) != name) continue;
        memcpy(&content[variable.offset], &value, sizeof value);
        return bpf_map__set_initial_value(map, content.data(), size) == 0;
    }
    return false;
}

constexpr std::string_view drops_suffix = "-drops.o";

bool set_drop_constants(bpf_object* object) {
    const auto reasons = kudo::DropReasons::of_running_kernel();
    const unsigned arguments = reasons ? (*reasons)->tracepoint_arguments() : 0;
    return set_constant(object, "kudo_has_reason", arguments >= 3) &&
           set_constant(object, "kudo_has_rx_socket", arguments >= 4);
}

// The object with this copy alone to be loaded; none: it is not kudo-agent's.
Object open_copy(const char* path, const Copy& copy) {
    Object object(bpf_object__open_file(path, nullptr));
    if (!object) return nullptr;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object.get()) bpf_program__set_autoload(program, false);
    program = bpf_object__find_program_by_name(object.get(), copy.program);
    if (!program) return nullptr;
    bpf_program__set_autoload(program, true);
    if (&copy == &drop_copy) return set_drop_constants(object.get()) ? std::move(object) : nullptr;
    const bool frags = copy.which != Program::XdpGeneric && kudo::kernel_has_xdp_frags();
    if (frags && bpf_program__type(program) == BPF_PROG_TYPE_XDP && copy.which != Program::Clock)
        bpf_program__set_flags(program, BPF_F_XDP_HAS_FRAGS);
    if (!set_constant(object.get(), "kudo_link", copy.link) ||
        !set_constant(object.get(), "kudo_ingress_counts", copy.ingress_counts) ||
        !set_constant(object.get(), "kudo_hands_over", copy.hands_over) ||
        !set_constant(object.get(), "kudo_xdp_frags", frags))
        return nullptr;
    return object;
}

struct Loaded {
    bool accepted = false;
    std::optional<long> processed; // instructions, as far as the log says
    std::string log;
};

Loaded load(bpf_object* object, const Copy& copy, LogLevel level) {
    std::vector<char> log(level == Statistics ? 1u << 20 : level == LastPath ? 1u << 24 : 1000u << 20);
    bpf_program* program = bpf_object__find_program_by_name(object, copy.program);
    bpf_program__set_log_level(program, level);
    bpf_program__set_log_buf(program, log.data(), log.size());
    Loaded loaded;
    loaded.accepted = bpf_object__load(object) == 0;
    loaded.log = log.data();
    static constexpr std::string_view before = "processed ";
    if (const std::size_t found = loaded.log.rfind(before); found != std::string::npos)
        loaded.processed = atol(&loaded.log[found + before.size()]);
    return loaded;
}

// What the verifier's log says, line by line: each instruction that it looked at begins with its number and a colon.
void print_functions(std::string_view log) {
    std::map<std::string, long> counts;
    std::string function = "the program";
    for (std::size_t begin = 0, end = 0; begin < log.size(); begin = end + 1) {
        end = std::min(log.find('\n', begin), log.size());
        const std::string_view line = log.substr(begin, end - begin);
        static constexpr std::string_view next = "Validating ";
        if (line.starts_with(next)) function = line.substr(next.size(), line.find('(') - next.size());
        const std::size_t colon = line.find_first_not_of("0123456789");
        if (colon > 0 && colon < line.size() && line[colon] == ':' && line.find('(', colon) == colon + 2)
            counts[function]++;
    }
    std::vector<std::pair<long, std::string>> sorted;
    for (const auto& [name, count] : counts)
        sorted.emplace_back(count, name);
    std::ranges::sort(sorted, std::greater{});
    for (const auto& [count, name] : sorted)
        printf("%-28s %8ld\n", name.c_str(), count);
}

bool report(const char* path, const Copy& copy, bool functions) {
    Object object = open_copy(path, copy);
    if (!object) {
        fprintf(stderr, "%s: not the programs of kudo-agent\n", path);
        return false;
    }
    Loaded loaded = load(object.get(), copy, functions ? EachStep : Statistics);
    if (functions) print_functions(loaded.log);
    std::string name = std::filesystem::path(path).filename();
    if (name.ends_with(drops_suffix)) name.replace(name.size() - drops_suffix.size(), drops_suffix.size(), ".o");
    if (loaded.accepted && loaded.processed) {
        printf("%-16s %-16s %8ld\n", name.c_str(), copy.name, *loaded.processed);
        return true;
    }
    printf("%-16s %-16s  refused\n", name.c_str(), copy.name);
    fflush(stdout); // before what follows
    object = open_copy(path, copy);
    loaded = load(object.get(), copy, LastPath);
    while (loaded.log.ends_with('\n'))
        loaded.log.pop_back();
    std::size_t begin = loaded.log.size();
    for (int lines = 0; lines < 12 && begin != std::string::npos && begin > 0; lines++)
        begin = loaded.log.rfind('\n', begin - 1);
    fprintf(stderr, "%s\n", &loaded.log[begin < loaded.log.size() ? begin + 1 : 0]);
    return false;
}

} // namespace

int main(int argc, char** argv) {
    const bool functions = argc > 1 && std::string_view(argv[1]) == "--functions";
    if (functions ? argc != 4 : argc < 2) {
        fputs("Usage: kudo_verifier OBJECT...\n       kudo_verifier --functions COPY OBJECT\n", stderr);
        return 2;
    }
    libbpf_set_print(nullptr);
    bool all = true, any = false;
    for (int i = functions ? 3 : 1; i < argc; i++) {
        const bool drops = std::string_view(argv[i]).ends_with(drops_suffix);
        for (const Copy& copy : drops ? std::span<const Copy>(&drop_copy, 1) : std::span<const Copy>(copies))
            if (!functions || std::string_view(argv[2]) == copy.name) {
                all = report(argv[i], copy, functions) && all;
                any = true;
            }
    }
    if (!any) fprintf(stderr, "kudo_verifier: there is no copy %s\n", argv[2]);
    return all && any ? 0 : 1;
}
