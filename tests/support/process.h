// SPDX-License-Identifier: MIT
// Runs a program to its end and keeps what it printed.
// Invariant: no shell; a program that does not end in time is killed and reported as status -1.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace kudo::test {

struct Outcome {
    int status = -1; // exit status; 128 + signal; -1: killed after `timeout`
    std::string out, err;
};

// argv[0] is searched in PATH. Runs in the calling thread's network namespace.
Outcome run_program(const std::vector<std::string>& argv, std::chrono::seconds timeout = std::chrono::seconds(60));

// User and kernel time of a process so far: proc(5), utime and stime.
double cpu_seconds(int pid);

// Starts it and returns its process id; its output goes to /dev/null. The caller waits for it.
int start_program(const std::vector<std::string>& argv);

} // namespace kudo::test
