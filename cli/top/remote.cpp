// SPDX-License-Identifier: MIT
#include "cli/top/remote.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "agent/query/exchange.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds between_pictures{50}; // however fast somebody types

int milliseconds_until(Clock::time_point when) {
    return static_cast<int>(
        std::max<milliseconds::rep>(std::chrono::ceil<milliseconds>(when - Clock::now()).count(), 0));
}

// Of two waits, each -1 for one without an end.
int shorter(int one, int other) {
    return one < 0 ? other : other < 0 ? one : std::min(one, other);
}

class ServedView {
public:
    ServedView(View& view, int connection) : view_(view), connection_(connection) {}

    Result<void> run() {
        while (going_) {
            int timeout = may_draw_ ? view_.tick() : milliseconds_until(sent_ + take_within);
            if (changed_ && may_draw_ && size_) {
                const auto next = sent_ + between_pictures;
                if (Clock::now() >= next) {
                    KUDO_TRY(draw());
                    continue;
                }
                timeout = shorter(timeout, milliseconds_until(next));
            }
            std::array<pollfd, 2> ready = {{{connection_, POLLIN, 0}, {view_.fd(), POLLIN, 0}}};
            if (::poll(ready.data(), ready.size(), timeout) < 0 && errno != EINTR) return fail_errno("poll");
            if (ready[1].revents != 0) changed_ |= KUDO_TRY(view_.take());
            if (ready[0].revents != 0) KUDO_TRY(read_inputs());
            if (!may_draw_ && Clock::now() > sent_ + take_within)
                return fail("top was stopped for 10 minutes, and the service has ended its answer: start it again");
        }
        return {};
    }

private:
    Result<void> draw() {
        Picture picture{*size_, {}};
        picture.lines = KUDO_TRY(view_.lines(*size_));
        KUDO_TRY(send_piece(connection_, AnswerKind::Output, write_picture(picture)));
        changed_ = may_draw_ = false;
        sent_ = Clock::now();
        return {};
    }

    // Some of those that have come: others have their turn between.
    Result<void> read_inputs() {
        constexpr int at_once = 64;
        std::array<char, max_input + 1> message{};
        for (int i = 0; i < at_once && going_; ++i) {
            const ssize_t got = recv(connection_, message.data(), message.size(), MSG_DONTWAIT);
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
            if (got <= 0) return fail("the asker is gone", EPIPE);
            const TopInput input = KUDO_TRY(read_input({message.data(), static_cast<std::size_t>(got)}));
            if (std::holds_alternative<Drawn>(input)) {
                may_draw_ = true;
                continue;
            }
            changed_ = true;
            if (const auto* size = std::get_if<ScreenSize>(&input))
                size_ = *size;
            else
                going_ = KUDO_TRY(view_.press(std::get<TypedKey>(input)));
        }
        return {};
    }

    View& view_;
    int connection_;
    std::optional<ScreenSize> size_; // of the asker's terminal; nothing: it has not told
    Clock::time_point sent_{};       // the last picture
    bool may_draw_ = true, changed_ = true, going_ = true;
};

} // namespace

Result<void> serve_view(View& view, int connection) {
    return ServedView(view, connection).run();
}

Result<bool> RemoteView::say(const TopInput& input) {
    const std::string message = write_input(input);
    if (send(connection_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    if (errno == EAGAIN || errno == EINTR) return false;
    // Why it has ended is in what take() finds.
    if (errno == EPIPE || errno == ECONNRESET) return true;
    return fail_errno("cannot tell the service");
}

int RemoteView::tick() {
    constexpr int try_again = 100;
    if (!owes_drawn_) return -1;
    const auto said = say(Drawn{});
    owes_drawn_ = said && !*said;
    return owes_drawn_ ? try_again : -1;
}

Result<bool> RemoteView::take() {
    const AnswerPiece piece = KUDO_TRY(receive_piece(connection_.get()));
    switch (piece.kind) {
    case AnswerKind::Output:
        break;
    case AnswerKind::Log: {
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, piece.content.data(), piece.content.size());
        return false;
    }
    default:
        if (auto outcome = read_outcome(piece); !outcome) return fail(std::move(outcome.error()));
        ended_ = true;
        return false;
    }
    arriving_ += piece.content;
    if (arriving_.size() > max_picture) return fail("the service draws more than a screen holds", EPROTO);
    if (!arriving_.ends_with(picture_end)) return false;
    picture_ = KUDO_TRY(read_picture(arriving_));
    arriving_.clear();
    owes_drawn_ = true;
    return true;
}

Result<bool> RemoteView::press(const TypedKey& key) {
    KUDO_TRY(say(key)); // one for which there is no room is lost: the service does not read
    return true;
}

Result<Lines> RemoteView::lines(ScreenSize size) {
    if (size_ != size && KUDO_TRY(say(size))) size_ = size;
    if (!picture_) return Lines{Line{{{"Asking the service ...", Style::Dim}}, false}};
    return picture_->size == size ? picture_->lines : Lines{}; // one of this size is on its way
}

} // namespace kudo
