// SPDX-License-Identifier: MIT
// CODE_FILE and its like would be this file's: the caller gives them, or nobody.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "agent/system/journal.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>

namespace kudo {
namespace {

thread_local std::vector<std::string> fields;

int priority_of(spdlog::level::level_enum level) {
    switch (level) {
    case spdlog::level::critical:
    case spdlog::level::err:
        return LOG_ERR;
    case spdlog::level::warn:
        return LOG_WARNING;
    case spdlog::level::info:
        return LOG_INFO;
    default:
        return LOG_DEBUG;
    }
}

class JournalSink : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit JournalSink(const std::string& instance) : instance_("KUDO_INSTANCE=" + instance), process_(getpid()) {}

protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        if (getpid() == process_ && send(message)) return;
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    }
    void flush_() override {}

private:
    bool send(const spdlog::details::log_msg& message) {
        std::vector<std::string> entry{fmt::format("MESSAGE={}", message.payload),
                                       fmt::format("PRIORITY={}", priority_of(message.level)),
                                       "SYSLOG_IDENTIFIER=kudo-agent", instance_};
        entry.insert(entry.end(), fields.begin(), fields.end());
        std::vector<iovec> parts;
        parts.reserve(entry.size());
        for (std::string& field : entry)
            parts.push_back({field.data(), field.size()});
        return sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) == 0;
    }

    const std::string instance_;
    const pid_t process_;
};

} // namespace

LogFields::LogFields(std::string_view name, std::string_view value) {
    fields.push_back(fmt::format("{}={}", name, value));
}

LogFields::~LogFields() {
    fields.pop_back();
}

bool is_journal_stream(int fd, const char* journal_stream) {
    struct stat about {};
    return journal_stream && fstat(fd, &about) == 0 &&
           fmt::format("{}:{}", about.st_dev, about.st_ino) == journal_stream;
}

spdlog::sink_ptr journal_sink(const std::string& instance) {
    if (!is_journal_stream(STDERR_FILENO, std::getenv("JOURNAL_STREAM"))) return nullptr;
    return std::make_shared<JournalSink>(instance);
}

} // namespace kudo
