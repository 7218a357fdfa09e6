// SPDX-License-Identifier: MIT
// What is on the screen, without a screen: read from the kernel in this process, or drawn by the service (remote.h).
// Invariant: keys never wait for a reading.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "agent/system/instance.h"
#include "cli/top/layout.h"
#include "cli/top/reader.h"
#include "cli/top/state.h"
#include "maps/base/result.h"

namespace kudo {

class View {
public:
    View() = default;
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    virtual ~View() = default;

    [[nodiscard]] virtual int fd() const = 0; // take() once it is readable
    // Begins what is due. How long to wait for fd() at most until the next time, in milliseconds; -1: without an end.
    virtual int tick() = 0;
    // True: there is something else to draw. Errors: there will never be any more.
    virtual Result<bool> take() = 0;
    // False: end.
    virtual Result<bool> press(const TypedKey& key) = 0;
    virtual Result<Lines> lines(ScreenSize size) = 0;
    [[nodiscard]] virtual bool has_ended() const { return false; }
};

class LocalView : public View {
public:
    explicit LocalView(Reader reader) : reader_(std::move(reader)) {}

    [[nodiscard]] int fd() const override { return reader_.fd(); }
    int tick() override;
    Result<bool> take() override;
    Result<bool> press(const TypedKey& key) override;
    Result<Lines> lines(ScreenSize size) override;

private:
    void choose();

    Reader reader_; // a reading that still goes on is waited for at the end
    Reading reading_;
    TopState state_;
    Pace pace_;
    std::vector<std::size_t> flows_;
    std::vector<FlowKey> keys_; // of flows_
    std::size_t rows_ = 1;
};

} // namespace kudo
