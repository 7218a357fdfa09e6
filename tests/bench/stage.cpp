// SPDX-License-Identifier: MIT
#include "tests/bench/stage.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <stdexcept>

#include "agent/datapath/generation.h"
#include "agent/datapath/pin_folder.h"
#include "kudo_bench_bpf.skel.h"
#include "maps/document/built_in.h"

namespace kudo::bench {

void Stage::Destroy::operator()(kudo_bench_bpf* skeleton) const {
    kudo_bench_bpf::destroy(skeleton);
}

CompiledPolicy compiled(const RangeMap& map, kudo_mode mode) {
    CompileOptions options;
    options.regions = map.regions();
    options.mode = mode;
    options.marks = default_marks();
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
        {maps.kudo_lpm4_0, &ours.lpm4[0]}, {maps.kudo_lpm4_1, &ours.lpm4[1]}, {maps.kudo_lpm6_0, &ours.lpm6[0]},
        {maps.kudo_lpm6_1, &ours.lpm6[1]}, {maps.kudo_flows4, &ours.flows4},  {maps.kudo_flows6, &ours.flows6},
        {maps.kudo_cpus, &ours.cpus},      {maps.data_active, &ours.active},  {maps.data_policies, &ours.policies},
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

} // namespace kudo::bench
