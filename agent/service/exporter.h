// SPDX-License-Identifier: MIT
// What shows the host's state elsewhere, as metrics and flow records do.
// Invariant: its trouble is nobody else's: it says it, and tries again.
#pragma once

#include <string>
#include <vector>

#include "agent/diagnosis/diagnosis.h"
#include "agent/inspect/status.h"

namespace kudo {

class Exporter {
public:
    Exporter() = default;
    Exporter(const Exporter&) = delete;
    Exporter& operator=(const Exporter&) = delete;
    virtual ~Exporter() = default;
    // After every look at the host. Null: it could not be looked at.
    virtual void note(const Status* status) = 0;
    // Every 15 s, and at the start. `diagnosis`: of this moment, without owners; null: there is none.
    virtual void refresh(const Diagnosis* diagnosis) = 0;
    // What is wrong now, a sentence each, without numbers that change.
    [[nodiscard]] virtual std::vector<std::string> problems() const = 0;
};

} // namespace kudo
