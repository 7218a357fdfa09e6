// SPDX-License-Identifier: MIT
#include "tests/kernel/bpf_program.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include "agent/datapath/flow_table.h"
#include "kudo_bpf.skel.h"

namespace kudo::test {
namespace {

struct Destroy {
    void operator()(kudo_bpf* skeleton) const { kudo_bpf::destroy(skeleton); }
};
using Skeleton = std::unique_ptr<kudo_bpf, Destroy>;

void require(bool condition, const char* what) {
    if (!condition) throw std::system_error(errno, std::generic_category(), what);
}

int print_warnings(libbpf_print_level level, const char* format, va_list arguments) {
    return level == LIBBPF_WARN ? std::vfprintf(stderr, format, arguments) : 0;
}

template <typename Key> void empty_map(int fd) {
    Key key;
    while (bpf_map_get_next_key(fd, nullptr, &key) == 0)
        require(bpf_map_delete_elem(fd, &key) == 0, "cannot delete a map's element");
}

template <typename Key> void fill_map(int fd, const std::vector<std::pair<Key, kudo_match>>& entries) {
    empty_map<Key>(fd);
    for (const auto& [key, match] : entries)
        require(bpf_map_update_elem(fd, &key, &match, BPF_NOEXIST) == 0, "cannot enter a prefix");
}

template <typename Key> void read_strays(int fd, Family family, std::map<std::string, kudo_stray>& strays) {
    Key key{};
    for (const Key* previous = nullptr; bpf_map_get_next_key(fd, previous, &key) == 0; previous = &key) {
        Address remote;
        remote.family = family;
        std::memcpy(remote.bytes.data(), &key.remote, sizeof key.remote);
        require(bpf_map_lookup_elem(fd, &key, &strays[remote.text()]) == 0, "cannot read a stray");
    }
}

} // namespace

struct Datapath::State {
    Skeleton skeleton;
    int lpm4[2]{}, lpm6[2]{};
    std::optional<CpuBlocks> cpus;
};

std::string Datapath::missing() {
    bpf_insn program[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
                          {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    const int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "kudo_probe", "GPL", program, std::size(program), nullptr);
    const int number = errno;
    if (fd >= 0) {
        close(fd);
        return {};
    }
    if (number == EPERM || number == EACCES || number == ENOSYS)
        return std::string("BPF programs cannot be loaded here: ") + std::strerror(number) +
               " (needs CAP_BPF and CAP_NET_ADMIN)";
    return {};
}

Datapath::Datapath() : Datapath(Options{}) {}

Datapath::Datapath(Options options) : state_(std::make_unique<State>()) {
    libbpf_set_print(print_warnings);
    Skeleton skeleton(kudo_bpf::open());
    require(skeleton != nullptr, "cannot open the BPF object");
    skeleton->rodata->kudo_link = options.link;
    skeleton->rodata->kudo_ingress_counts = options.ingress_counts;
    bpf_map__set_max_entries(skeleton->maps.kudo_cpus, static_cast<__u32>(libbpf_num_possible_cpus()));
    bpf_map__set_max_entries(skeleton->maps.kudo_flows4, options.max_flows);
    require(kudo_bpf::load(skeleton.get()) == 0, "cannot load the BPF object");
    State& state = *state_;
    auto cpus = CpuBlocks::map(bpf_map__fd(skeleton->maps.kudo_cpus));
    if (!cpus) throw std::runtime_error(cpus.error().message);
    state.cpus.emplace(std::move(*cpus));
    state.lpm4[0] = bpf_map__fd(skeleton->maps.kudo_lpm4_0);
    state.lpm4[1] = bpf_map__fd(skeleton->maps.kudo_lpm4_1);
    state.lpm6[0] = bpf_map__fd(skeleton->maps.kudo_lpm6_0);
    state.lpm6[1] = bpf_map__fd(skeleton->maps.kudo_lpm6_1);
    state.skeleton = std::move(skeleton);
}

Datapath::~Datapath() = default;

void Datapath::fill(const CompiledPolicy& policy, uint32_t generation) {
    const uint32_t slot = generation & 1;
    fill_map(state_->lpm4[slot], policy.entries4);
    fill_map(state_->lpm6[slot], policy.entries6);
    kudo_policy& place = state_->skeleton->data_policies->kudo_policies[slot];
    place = *policy.policy;
    place.generation = generation;
}

void Datapath::activate(uint32_t generation) {
    __atomic_store_n(&state_->skeleton->data_active->kudo_active, generation, __ATOMIC_RELEASE);
}

uint32_t Datapath::active() const {
    return __atomic_load_n(&state_->skeleton->data_active->kudo_active, __ATOMIC_ACQUIRE);
}

bool Datapath::has_type_information() const {
    return bpf_object__btf_fd(state_->skeleton->obj) >= 0;
}

void Datapath::wait_for_readers() {
    const uint32_t zero = 0;
    const int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "kudo_grace_new", 4, 4, 1, nullptr);
    require(inner >= 0, "cannot make an inner map");
    const int result = bpf_map_update_elem(bpf_map__fd(state_->skeleton->maps.kudo_grace), &zero, &inner, BPF_ANY);
    const int number = errno;
    close(inner);
    errno = number;
    require(result == 0, "cannot wait for a grace period");
}

void Datapath::clear(uint32_t slot) {
    empty_map<kudo_lpm4_key>(state_->lpm4[slot]);
    empty_map<kudo_lpm6_key>(state_->lpm6[slot]);
    state_->skeleton->data_policies->kudo_policies[slot] = {};
}

void Datapath::publish(const CompiledPolicy& policy, uint32_t generation) {
    fill(policy, generation);
    activate(generation);
    wait_for_readers();
    clear((generation & 1) ^ 1);
}

RunResult Datapath::run_xdp(std::span<const uint8_t> frame) const {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = static_cast<__u32>(frame.size()),
                .repeat = 1);
    RunResult result;
    if (bpf_prog_test_run_opts(bpf_program__fd(state_->skeleton->progs.kudo_xdp), &options) != 0) result.error = errno;
    result.returned = options.retval;
    return result;
}

RunResult Datapath::run_tc(kudo_direction direction, std::span<const uint8_t> frame, SkbFields skb) const {
    __sk_buff context{};
    context.priority = skb.priority;
    context.mark = skb.mark;
    context.gso_size = skb.segment_size;
    context.gso_segs = skb.segments;
    RunResult result;
    result.frame.resize(4096);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = result.frame.data(),
                .data_size_in = static_cast<__u32>(frame.size()),
                .data_size_out = static_cast<__u32>(result.frame.size()), .ctx_in = &context, .ctx_out = &context,
                .ctx_size_in = sizeof context, .ctx_size_out = sizeof context, .repeat = 1);
    const auto* program =
        direction == KUDO_INGRESS ? state_->skeleton->progs.kudo_tc_ingress : state_->skeleton->progs.kudo_tc_egress;
    if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) != 0) result.error = errno;
    result.returned = options.retval;
    result.frame.resize(result.error ? 0 : options.data_size_out);
    result.skb = {.priority = context.priority,
                  .mark = context.mark,
                  .segment_size = context.gso_size,
                  .segments = context.gso_segs};
    return result;
}

std::unique_ptr<kudo_counters> Datapath::counters() const {
    return std::make_unique<kudo_counters>(sum_counters(state_->cpus->blocks()));
}

FlowBook Datapath::flows() const {
    const auto table = read_flow_table(bpf_map__fd(state_->skeleton->maps.kudo_flows4),
                                       bpf_map__fd(state_->skeleton->maps.kudo_flows6), state_->cpus->blocks());
    if (!table) throw std::runtime_error(table.error().message);
    FlowBook book;
    const auto enter = [&](const auto& rows) {
        for (const auto& [key, flow] : rows)
            book[std::string(reinterpret_cast<const char*>(&key), sizeof key)] = flow;
    };
    enter(table->flows4);
    enter(table->flows6);
    return book;
}

kudo_flow Datapath::row(const std::string& key) const {
    kudo_flow flow{};
    require(bpf_map_lookup_elem(bpf_map__fd(state_->skeleton->maps.kudo_flows4), key.data(), &flow) == 0,
            "no such row");
    return flow;
}

std::map<std::string, kudo_stray> Datapath::strays() const {
    std::map<std::string, kudo_stray> strays;
    read_strays<kudo_stray4_key>(bpf_map__fd(state_->skeleton->maps.kudo_strays4), Family::IPv4, strays);
    read_strays<kudo_stray6_key>(bpf_map__fd(state_->skeleton->maps.kudo_strays6), Family::IPv6, strays);
    return strays;
}

std::vector<kudo_answer> Datapath::answers() const {
    const int fd = bpf_map__fd(state_->skeleton->maps.kudo_answers);
    std::vector<kudo_answer> answers;
    uint64_t key = 0;
    for (const uint64_t* previous = nullptr; bpf_map_get_next_key(fd, previous, &key) == 0; previous = &key)
        require(bpf_map_lookup_elem(fd, &key, &answers.emplace_back()) == 0, "cannot read an answer");
    return answers;
}

void Datapath::age_questions(uint64_t nanoseconds) const {
    const int fd = bpf_map__fd(state_->skeleton->maps.kudo_questions);
    kudo_question_key key{};
    for (const kudo_question_key* previous = nullptr; bpf_map_get_next_key(fd, previous, &key) == 0; previous = &key) {
        kudo_question question{};
        require(bpf_map_lookup_elem(fd, &key, &question) == 0, "cannot read a question");
        question.asked -= nanoseconds;
        require(bpf_map_update_elem(fd, &key, &question, BPF_EXIST) == 0, "cannot change a question");
    }
}

std::size_t Datapath::open_questions() const {
    const int fd = bpf_map__fd(state_->skeleton->maps.kudo_questions);
    std::size_t count = 0;
    kudo_question_key key{};
    for (const kudo_question_key* previous = nullptr; bpf_map_get_next_key(fd, previous, &key) == 0; previous = &key)
        ++count;
    return count;
}

} // namespace kudo::test
