// SPDX-License-Identifier: MIT
#include "agent/state/lost_marks.h"

#include <algorithm>

#include "maps/base/abi_names.h"

namespace kudo {

std::vector<MarkInUse> marks_in_use(const Marks& marks) {
    std::vector<MarkInUse> in_use;
    for (std::size_t i = 0; i < marks.size(); i++) {
        const kudo_mark& mark = marks[i];
        if (!(mark.flags & KUDO_MARK_DSCP) || mark.dscp == 0) continue;
        auto found = std::ranges::find(in_use, mark.dscp, &MarkInUse::dscp);
        if (found == in_use.end()) found = in_use.insert(in_use.end(), {mark.dscp, {}});
        found->treatments.emplace_back(treatment_name(static_cast<kudo_treatment>(i)));
    }
    return in_use;
}

std::vector<LostMark> still_in_use(std::vector<LostMark> lost, const Marks& marks) {
    const auto in_use = marks_in_use(marks);
    std::erase_if(lost, [&](const LostMark& mark) {
        return std::ranges::find(in_use, mark.dscp, &MarkInUse::dscp) == in_use.end();
    });
    return lost;
}

Marks without_lost(Marks marks, const std::vector<LostMark>& lost) {
    for (kudo_mark& mark : marks)
        if (std::ranges::find(lost, mark.dscp, &LostMark::dscp) != lost.end()) {
            mark.flags &= static_cast<__u8>(~KUDO_MARK_DSCP);
            mark.dscp = 0;
        }
    return marks;
}

} // namespace kudo
