// SPDX-License-Identifier: MIT
// top for users without privileges: the service's process of the answer reads and lays out, top draws and passes keys
// on. Invariant: no more is drawn, and nothing more is read, than is taken: after each picture the other end waits for
// a word that it has been.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/system/fd.h"
#include "cli/top/remote_messages.h"
#include "cli/top/view.h"
#include "maps/base/result.h"

namespace kudo {

// As long as one who takes no picture keeps his place: top that was stopped with Ctrl-Z.
inline constexpr std::chrono::minutes take_within{10};

// In the process of the answer, until the asker's key says so or nobody takes any picture. Errors: what comes is no
// input, the asker is gone.
Result<void> serve_view(View& view, int connection);

// At the asker's end. `connection`: on which the service was asked for top.
class RemoteView : public View {
public:
    explicit RemoteView(Fd connection) : connection_(std::move(connection)) {}

    [[nodiscard]] int fd() const override { return connection_.get(); }
    int tick() override;
    Result<bool> take() override;
    Result<bool> press(const TypedKey& key) override;
    Result<Lines> lines(ScreenSize size) override;
    [[nodiscard]] bool has_ended() const override { return ended_; }

private:
    // False: there is no room now.
    Result<bool> say(const TopInput& input);

    Fd connection_;
    std::string arriving_; // a picture, so far
    std::optional<Picture> picture_;
    std::optional<ScreenSize> size_; // that was told
    bool owes_drawn_ = false, ended_ = false;
};

} // namespace kudo
