// SPDX-License-Identifier: MIT
// The log as entries of systemd's journal, with priorities and fields, where standard error is a stream to the journal;
// elsewhere it is text on standard error.
//
// Fields of each entry: PRIORITY (syslog(3): 3 error, 4 warning, 6 information, 7 debug), SYSLOG_IDENTIFIER=kudo-agent,
// KUDO_INSTANCE (the state directory), and those of LogFields. docs/service.md has them for administrators.
//
// Invariant: processes that this one has forked write text on standard error, whatever becomes of its log: they may not
// open sockets.
#pragma once

#include <string>
#include <string_view>

#include <spdlog/common.h>

namespace kudo {

// Fields of what the calling thread logs while this exists; text on standard error has none of them. The last one to be
// made is the first to end.
class LogFields {
public:
    // `name` is in the journal's form: A-Z, 0-9 and _, not beginning with _. See systemd.journal-fields(7).
    LogFields(std::string_view name, std::string_view value);
    ~LogFields();
    LogFields(const LogFields&) = delete;
    LogFields& operator=(const LogFields&) = delete;
};

// Is this descriptor the stream that systemd has opened to the journal: the device and inode that the variable
// JOURNAL_STREAM names, "DEVICE:INODE" (systemd.exec(5))?
bool is_journal_stream(int fd, const char* journal_stream);

// A sink that writes to the journal, and to standard error what the journal does not take; null where standard error is
// no stream to the journal.
spdlog::sink_ptr journal_sink(const std::string& instance);

} // namespace kudo
