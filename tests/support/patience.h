// SPDX-License-Identifier: MIT
// How long tests wait before they call it a fault: the limits are meant for an ordinary machine, and KUDO_PATIENCE, a
// factor, makes them longer for a slow one, such as an emulated one.
// Invariant: only what fails takes longer for it. Time that must pass whatever happens has no patience.
#pragma once

#include <chrono>
#include <cstdlib>

namespace kudo::test {

template <typename Rep, typename Period>
std::chrono::duration<Rep, Period> patient(std::chrono::duration<Rep, Period> limit) {
    static const int factor = [] {
        const char* const text = getenv("KUDO_PATIENCE");
        return text && atoi(text) > 1 ? atoi(text) : 1;
    }();
    return limit * factor;
}
inline double patient(double seconds) {
    return patient(std::chrono::duration<double>(seconds)).count();
}

} // namespace kudo::test
