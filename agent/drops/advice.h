// SPDX-License-Identifier: MIT
// What is known of each drop reason: its layer, whether the packet was still needed, what to do about it.
// Invariant: every reason of every kernel whose BTF has been seen has a row; a test fails for one that has not.
#pragma once

#include <string>
#include <string_view>

#include "agent/drops/advice_table.h"
#include "agent/drops/layer.h"

namespace kudo {

// Null: a reason of a kernel that is newer than this list.
const ReasonAdvice* advice_on(std::string_view reason);

// What is known of a drop by reason and function (layer.h) together. Before Linux 5.17, and where a reason says nothing
// (NOT_SPECIFIED), by the function alone.
struct DropAdvice {
    DropLayer layer = DropLayer::Other;
    bool is_loss = true;
    std::string advice, command;
};
DropAdvice advice_for(std::string_view reason, std::string_view function);

} // namespace kudo
