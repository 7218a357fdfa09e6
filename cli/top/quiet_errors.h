// SPDX-License-Identifier: MIT
// Keeps what is written to standard error away from a screen, and gives it out afterwards.
// Invariant: where standard error is no terminal nothing is changed; at most the last 64 KiB are kept.
#pragma once

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

class QuietErrors {
public:
    static Result<QuietErrors> begin();
    QuietErrors(QuietErrors&&) noexcept = default;
    QuietErrors& operator=(QuietErrors&&) = delete;
    ~QuietErrors();
    // Now and then, so that it does not grow.
    void trim() const;

private:
    QuietErrors() = default;
    Fd terminal_, kept_;
};

} // namespace kudo
