// SPDX-License-Identifier: MIT
#include "tests/bench/stage.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <stdexcept>
#include <system_error>

#include "agent/datapath/generation.h"
#include "agent/datapath/pin_folder.h"
#include "kudo_bench_bpf.skel.h"
#include "maps/document/built_in.h"
#include "tests/bench/measure.h"

namespace kudo::bench {

void Stage::Destroy::operator()(kudo_bench_bpf* skeleton) const {
    kudo_bench_bpf::destroy(skeleton);
}

namespace {

AllowRule allow_rule(std::vector<const char*> remotes, kudo_allow rule) {
    AllowRule result{.rule = rule, .remotes = {}, .text = remotes.front(), .lifeline = {}};
    for (const char* remote : remotes)
        result.remotes.push_back(value_of(Prefix::parse(remote)));
    return result;
}

// What a host has: SSH from its administrators, its resolver, and the lifelines of every host.
std::vector<AllowRule> usual_rules() {
    const auto ports = [](uint8_t protocol, uint16_t port, uint8_t flags) {
        return kudo_allow{.first_port = port,
                          .last_port = port,
                          .protocol = protocol,
                          .kind = KUDO_ALLOW_PROTOCOL,
                          .flags = flags,
                          .pad = 0};
    };
    const auto every = [](kudo_allow_kind kind) {
        return kudo_allow{.first_port = 0,
                          .last_port = 65535,
                          .protocol = 0,
                          .kind = static_cast<__u8>(kind),
                          .flags = KUDO_ALLOW_FROM | KUDO_ALLOW_TO,
                          .pad = 0};
    };
    const std::vector<const char*> any = {"0.0.0.0/0", "::/0"};
    return {allow_rule({"203.0.113.0/24"}, ports(IPPROTO_TCP, 22, KUDO_ALLOW_FROM)),
            allow_rule({"192.0.2.53/32"}, ports(IPPROTO_UDP, 53, KUDO_ALLOW_TO)),
            allow_rule(any, ports(IPPROTO_UDP, 123, KUDO_ALLOW_TO)),
            allow_rule(any, every(KUDO_ALLOW_ARP)),
            allow_rule(any, every(KUDO_ALLOW_NEIGHBOUR)),
            allow_rule(any, every(KUDO_ALLOW_ICMP_ERROR)),
            allow_rule(any, every(KUDO_ALLOW_DHCP))};
}

} // namespace

CompiledPolicy compiled(const RangeMap& map, kudo_mode mode) {
    CompileOptions options;
    options.regions = map.regions();
    options.mode = mode;
    options.marks = default_marks();
    if (mode == KUDO_ENFORCE) {
        options.admission = KUDO_ADMISSION_ENFORCE;
        options.allow = usual_rules();
    }
    return value_of(compile(map, options));
}

std::vector<std::string> built_in_ranges() {
    std::vector<std::string> ranges;
    for (const Service& service : built_in_range_map().services)
        for (const auto& range : service.ranges)
            ranges.push_back(range.prefix.text());
    return ranges;
}

Stage::Stage(const test::TestHost& host, const std::string& name, const RangeMap& map, kudo_mode mode,
             uint32_t max_flows)
    : instance_{host.instance.bpffs.string() + "/" + name, host.folder + "/" + name} {
    value_of(prepare_pin_folder(instance_));
    data_path_ = std::make_unique<DataPath>(
        value_of(DataPath::create(instance_, max_flows, [&](DataPath& fresh) -> Result<void> {
            auto generation = kudo::publish(fresh.maps(), compiled(map, mode));
            if (!generation) return fail(std::move(generation.error()));
            return {};
        })));
    skeleton_.reset(kudo_bench_bpf::open());
    if (!skeleton_) throw std::runtime_error("cannot open the benchmark's object");
    const DataPath::Maps& ours = data_path_->maps();
    const auto& maps = skeleton_->maps;
    const std::pair<bpf_map*, const Fd*> shared[] = {
        {maps.kudo_lpm4_0, &ours.lpm4[0]},      {maps.kudo_lpm4_1, &ours.lpm4[1]},
        {maps.kudo_lpm6_0, &ours.lpm6[0]},      {maps.kudo_lpm6_1, &ours.lpm6[1]},
        {maps.kudo_flows4, &ours.flows4},       {maps.kudo_flows6, &ours.flows6},
        {maps.kudo_cpus, &ours.cpus},           {maps.data_active, &ours.active},
        {maps.data_policies, &ours.policies},   {maps.kudo_outgoing4, &ours.outgoing4},
        {maps.kudo_outgoing6, &ours.outgoing6},
    };
    for (const auto& [map_, fd] : shared)
        if (bpf_map__reuse_fd(map_, fd->get()) != 0) throw std::runtime_error("cannot reuse a map");
    if (kudo_bench_bpf::load(skeleton_.get()) != 0)
        throw std::runtime_error("the kernel does not load the benchmark's programs");
}

Stage::~Stage() {
    skeleton_.reset();
    data_path_.reset();
    static_cast<void>(remove_pin_folder(instance_));
}

void Stage::publish(const RangeMap& map, kudo_mode mode) {
    value_of(kudo::publish(data_path_->maps(), compiled(map, mode)));
}

int Stage::program(Program which) {
    programs_.push_back(value_of(data_path_->program(which)));
    return programs_.back().get();
}

int Stage::bench_program(const std::string& name) const {
    const auto* program = bpf_object__find_program_by_name(skeleton_->obj, ("kudo_bench_" + name).c_str());
    if (!program) throw std::runtime_error("no benchmark program " + name);
    return bpf_program__fd(program);
}

void Stage::set_flows(uint32_t count, uint32_t first) {
    // An array's elements are 8 bytes apart (kernel/bpf/arraymap.c, elem_size).
    constexpr std::size_t size = sizeof(uint64_t) << 20;
    auto* order = static_cast<uint64_t*>(
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(skeleton_->maps.kudo_bench_order), 0));
    if (order == MAP_FAILED) throw std::runtime_error("cannot map the order of flows");
    std::iota(order, order + count, uint64_t{first});
    std::shuffle(order, order + count, std::mt19937(1));
    munmap(order, size);
    skeleton_->data_bench->kudo_bench_next = 0;
    skeleton_->data_bench->kudo_bench_count = count;
}

void Stage::set_target(uint32_t interface) {
    skeleton_->data_bench->kudo_bench_target = interface;
}

void run_agent(const test::TestHost& host, const std::vector<std::string>& arguments) {
    const test::Outcome outcome = host.agent(arguments);
    if (outcome.status != 0) throw std::runtime_error(outcome.err);
}

double send_frames(const test::TestHost& host, const Stage& stage, const test::Bytes& frame, uint32_t frames) {
    constexpr uint32_t live_frames = 1u << 1; // BPF_F_TEST_XDP_LIVE_FRAMES, linux/bpf.h
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(), .data_size_in = static_cast<__u32>(frame.size()),
                .repeat = static_cast<int>(frames), .flags = live_frames, .batch_size = 64);
    const int program = stage.bench_program("redirect");
    int result = 0;
    const double taken = test::inside<double>(
        host.far, [&] { return time_of([&] { result = bpf_prog_test_run_opts(program, &run); }); });
    if (result != 0) throw std::system_error(-result, std::generic_category(), "live frames");
    return taken;
}

} // namespace kudo::bench
