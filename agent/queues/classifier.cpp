// SPDX-License-Identifier: MIT
#include "agent/queues/classifier.h"

#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "agent/system/fd.h"

namespace kudo {
namespace {

constexpr char classifier_name[] = "kudo_tc_class";

std::vector<bpf_insn> classifier_program(const ClassFilter& filter) {
    constexpr uint8_t result = BPF_REG_0, packet = BPF_REG_1, index = BPF_REG_2;
    const auto instruction = [](int code, uint8_t to, uint8_t from, std::size_t offset, uint32_t value) {
        return bpf_insn{.code = static_cast<uint8_t>(code),
                        .dst_reg = to,
                        .src_reg = from,
                        .off = static_cast<int16_t>(offset),
                        .imm = static_cast<int32_t>(value)};
    };
    const auto set_result = [&](uint32_t value) { return instruction(BPF_ALU | BPF_MOV | BPF_K, result, 0, 0, value); };
    const auto exit = instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    std::vector<bpf_insn> program = {
        instruction(BPF_LDX | BPF_MEM | BPF_W, index, packet, offsetof(__sk_buff, tc_index), 0)};
    for (uint32_t treatment = 0; treatment < filter.classes.size(); treatment++) {
        program.push_back(instruction(BPF_JMP | BPF_JNE | BPF_K, index, 0, 2, KUDO_TC_INDEX + treatment));
        program.push_back(set_result(filter.classes[treatment]));
        program.push_back(exit);
    }
    program.push_back(set_result(0));
    program.push_back(exit);
    return program;
}

} // namespace

Result<void> add_classifier(uint32_t interface, const ClassFilter& filter) {
    const auto instructions = classifier_program(filter);
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, classifier_name, "Dual MIT/GPL", instructions.data(),
                                   instructions.size(), nullptr));
    if (!program) return fail_errno("cannot load the classifier of a qdisc");
    // Without TCA_BPF_FLAG_ACT_DIRECT: what it returns is a class id.
    return add_filter(interface, filter.qdisc,
                      {.preference = 1,
                       .handle = 1,
                       .protocol = ETH_P_ALL,
                       .kind = "bpf",
                       .options = Attributes()
                                      .put<uint32_t>(TCA_BPF_FD, static_cast<uint32_t>(program.get()))
                                      .put(TCA_BPF_NAME, classifier_name, sizeof classifier_name)
                                      .take()})
        .in("cannot add the classifier of a qdisc (cls_bpf)");
}

bool is_classifier(const TcFilter& filter) {
    return filter.kind == "bpf" && std::ranges::equal(find_attribute(filter.options, TCA_BPF_NAME),
                                                      std::span(classifier_name, sizeof classifier_name));
}

} // namespace kudo
