// SPDX-License-Identifier: MIT
// Small owners and calls around libbpf: pinned objects, mapped arrays.
// Invariant: every call reports failure as an Error that names the object.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

// A pinned object's descriptor. The Error's number is ENOENT where nothing is pinned.
Result<Fd> open_pin(const std::filesystem::path& path);

// Pins; an existing pin of that name is an error (EEXIST).
Result<void> pin(int fd, const std::filesystem::path& path);

uint32_t program_id(int program_fd); // 0 on failure

Result<uint32_t> map_size(int map_fd); // max_entries

struct LinkInfo {
    uint32_t program_id = 0;
    uint32_t interface = 0; // ifindex; 0: the interface is gone or the link was detached
};
Result<LinkInfo> link_info(int link_fd);

// An array map's memory, shared with the programs. `T` is the map's whole value.
template <typename T> class Mapped {
public:
    static Result<Mapped> map(int fd, const std::string& name) {
        void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED) return fail_errno("cannot map " + name);
        return Mapped(static_cast<T*>(memory));
    }
    Mapped(Mapped&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
    Mapped& operator=(Mapped&& other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    ~Mapped() {
        if (memory_) munmap(memory_, sizeof(T));
    }
    T* operator->() const { return memory_; }
    T& operator*() const { return *memory_; }

private:
    explicit Mapped(T* memory) : memory_(memory) {}
    T* memory_;
};

} // namespace kudo
