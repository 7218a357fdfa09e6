// SPDX-License-Identifier: MIT
#include "tests/kernel/bpf_program.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include "agent/datapath/flow_table.h"
#include "agent/datapath/generation.h"
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

// What a Result gives; throws what it says.
template <typename T> T got(Result<T>&& result) {
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

template <typename Key> void read_strays(int fd, Family family, std::map<std::string, kudo_stray>& strays) {
    got(for_each_entry<Key, kudo_stray>(fd, "strays", [&](const Key& key, const kudo_stray& stray) {
        Address remote;
        remote.family = family;
        std::memcpy(remote.bytes.data(), &key.remote, sizeof key.remote);
        strays[remote.text()] = stray;
    }));
}

} // namespace

struct Datapath::State {
    Skeleton skeleton;
    DataPath::Maps maps;
    std::optional<Mapped<const kudo_cpu>> cpus;
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
    if (options.frags && kernel_has_xdp_frags()) {
        skeleton->rodata->kudo_xdp_frags = 1;
        bpf_program__set_flags(skeleton->progs.kudo_xdp, BPF_F_XDP_HAS_FRAGS);
    }
    bpf_map__set_max_entries(skeleton->maps.kudo_cpus, static_cast<__u32>(libbpf_num_possible_cpus()));
    bpf_map__set_max_entries(skeleton->maps.kudo_flows4, options.max_flows);
    require(kudo_bpf::load(skeleton.get()) == 0, "cannot load the BPF object");
    State& state = *state_;
    state.maps = got(DataPath::maps_of(*skeleton));
    state.cpus.emplace(got(Mapped<const kudo_cpu>::map(state.maps.cpus.get(), "the counters")));
    state.skeleton = std::move(skeleton);
}

Datapath::~Datapath() = default;

void Datapath::fill(const CompiledPolicy& policy, uint32_t generation) {
    got(fill_slot(state_->maps, policy, generation));
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

void Datapath::publish(const CompiledPolicy& policy, uint32_t generation) {
    const uint32_t published = got(kudo::publish(state_->maps, policy));
    if (published != generation) throw std::logic_error("generation " + std::to_string(published) + " was published");
}

const DataPath::Maps& Datapath::maps() const {
    return state_->maps;
}

RunResult Datapath::run_xdp(std::span<const uint8_t> frame, std::optional<uint32_t> first_buffer) const {
    xdp_md context{};
    context.data_end = first_buffer.value_or(0);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = static_cast<__u32>(frame.size()),
                .repeat = 1);
    if (first_buffer) options.ctx_in = &context, options.ctx_size_in = sizeof context;
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
    return std::make_unique<kudo_counters>(sum_counters(state_->cpus->elements()));
}

FlowBook Datapath::flows() const {
    const FlowTable table =
        got(read_flow_table(state_->maps.flows4.get(), state_->maps.flows6.get(), state_->cpus->elements()));
    FlowBook book;
    const auto enter = [&](const auto& rows) {
        for (const auto& [key, flow] : rows)
            book[std::string(reinterpret_cast<const char*>(&key), sizeof key)] = flow;
    };
    enter(table.flows4);
    enter(table.flows6);
    return book;
}

kudo_flow Datapath::row(const std::string& key) const {
    kudo_flow flow{};
    require(bpf_map_lookup_elem(state_->maps.flows4.get(), key.data(), &flow) == 0, "no such row");
    return flow;
}

std::map<std::string, kudo_stray> Datapath::strays() const {
    std::map<std::string, kudo_stray> strays;
    read_strays<kudo_stray4_key>(state_->maps.strays4.get(), Family::IPv4, strays);
    read_strays<kudo_stray6_key>(state_->maps.strays6.get(), Family::IPv6, strays);
    return strays;
}

std::vector<kudo_response> Datapath::answers() const {
    std::vector<kudo_response> answers;
    got(for_each_entry<uint64_t, kudo_response>(
        state_->maps.responses.get(), "answers",
        [&](uint64_t, const kudo_response& answer) { answers.push_back(answer); }));
    return answers;
}

void Datapath::age_queries(uint64_t nanoseconds) const {
    const int fd = state_->maps.queries.get();
    const auto age = [&](const kudo_query_key& key, kudo_query question) {
        question.sent -= nanoseconds;
        require(bpf_map_update_elem(fd, &key, &question, BPF_EXIST) == 0, "cannot change a question");
    };
    got(for_each_entry<kudo_query_key, kudo_query>(fd, "questions", age));
}

std::map<std::string, kudo_learned> Datapath::learned() const {
    std::map<std::string, kudo_learned> addresses;
    got(for_each_entry<std::array<uint8_t, 4>, kudo_learned>(
        state_->maps.learned4.get(), "learned addresses", [&](const auto& key, const kudo_learned& learned) {
            addresses[Address::from_bytes(Family::IPv4, &key).text()] = learned;
        }));
    got(for_each_entry<std::array<uint8_t, 16>, kudo_learned>(
        state_->maps.learned6.get(), "learned addresses", [&](const auto& key, const kudo_learned& learned) {
            addresses[Address::from_bytes(Family::IPv6, &key).text()] = learned;
        }));
    return addresses;
}

void Datapath::age_learned(uint64_t nanoseconds) const {
    for (const auto& [text, row] : learned()) {
        kudo_learned learned = row;
        for (kudo_learned_name& name : learned.names)
            name.until -= std::min<uint64_t>(name.until, nanoseconds);
        const Address address = Address::parse(text).value();
        const Fd& table = address.family == Family::IPv4 ? state_->maps.learned4 : state_->maps.learned6;
        require(bpf_map_update_elem(table.get(), address.bytes.data(), &learned, BPF_EXIST) == 0,
                "cannot change a learned address");
    }
}

std::size_t Datapath::open_queries() const {
    std::size_t count = 0;
    got(for_each_entry<kudo_query_key, kudo_query>(state_->maps.queries.get(), "questions",
                                                   [&](const auto&, const auto&) { ++count; }));
    return count;
}

uint64_t Datapath::jiffies() const {
    char frame[64] = {};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof frame, .repeat = 1);
    require(bpf_prog_test_run_opts(bpf_program__fd(state_->skeleton->progs.kudo_clock), &options) == 0, "kudo_clock");
    return __atomic_load_n(&state_->skeleton->data_clock->kudo_now, __ATOMIC_RELAXED);
}

} // namespace kudo::test
