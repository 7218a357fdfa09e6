// SPDX-License-Identifier: MIT
// Generations: putting a compiled policy into the kernel without a gap, and reading back which one is there.
//
// Two slots hold two policies and two pairs of tries (bpf/maps.bpf.h); generation g lives in slot g & 1, and
// kudo_active says which generation judges. A slot is in one of four states, told by the `generation` of its policy:
//
//   empty      0, tries empty                    -> filling, by fill_slot()
//   filling    g, which is not kudo_active       -> active, by publish()'s store; or left behind by a killed writer
//   active     g, which is kudo_active           -> retired, by the same store for the other slot
//   retired    g, which kudo_active was before   -> empty, after a grace period
//
// G1 A packet is judged by one generation: the program reads kudo_active once, publish() writes it with one aligned
//    store. 0: no policy yet, everything passes. [Swap.EveryPacketIsJudgedByTheOldPolicyOrTheNew,
//    Swap.AMillionTimesInATightLoop, Generation.ZeroCountsNoPolicyAndPasses]
// G2 The active slot is never written: its policy and its tries are complete and of one generation.
//    [Generation.TheSlotOfTheActiveGenerationJudges, Swap.EveryPacketIsJudgedByTheOldPolicyOrTheNew]
// G3 A slot is written only after every program that could have read it as the active one has ended: a grace period
//    lies between the store that retired it and the first write. [Swap.EveryPacketIsJudgedByTheOldPolicyOrTheNew]
// G4 `generation` is set before anything else of a slot is written and cleared after everything else is emptied. So
//    what a killed writer left is seen, waited for (it may have been active) and emptied before the slot is used again;
//    until then the other slot goes on judging. [Generation.WhatAKilledWriterLeftIsEmptiedFirst]
// G5 A reader needs no lock: what it read between two loads of kudo_active that agree, from a slot whose `generation`
//    is that number, is that generation's. [Swap.AReaderSeesOneCompletePolicy]
// G6 There is one writer: whoever holds the instance's lock.
#pragma once

#include "agent/datapath/datapath.h"
#include "maps/compile/compile.h"

namespace kudo {

// Fills the idle slot with the next generation, makes it active with one store, waits until no program reads the old
// one and empties that. Returns the new generation's number. After an error the old generation is active; where only
// the old one could not be emptied, which the next publish() does, there is none. The caller holds the lock.
Result<uint32_t> publish(const DataPath::Maps& maps, const CompiledPolicy& compiled);

// publish()'s first step: this generation's policy into its slot, which must not be the active one.
Result<void> fill_slot(const DataPath::Maps& maps, const CompiledPolicy& compiled, uint32_t generation);

// The number of the active generation; 0: none yet.
Result<uint32_t> active_generation(const DataPath::Maps& maps);

// Everything of the active generation as it is in the kernel's tables. `slots` is not filled. Needs no lock:
// reads again where a swap comes in between.
struct ActivePolicy {
    uint32_t generation = 0;
    CompiledPolicy compiled;
    [[nodiscard]] std::array<uint8_t, 32> hash() const; // recomputed from what was read
};
Result<ActivePolicy> read_active(const DataPath::Maps& maps);

// Only the policy itself, without the tries: cheap.
Result<kudo_policy> read_active_policy(const DataPath::Maps& maps);

// Waits until every program that was running when this was called has ended.
Result<void> wait_for_readers(const DataPath::Maps& maps);

} // namespace kudo
