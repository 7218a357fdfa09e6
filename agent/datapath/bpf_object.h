// SPDX-License-Identifier: MIT
// Small owners and calls around libbpf: pinned objects, mapped arrays, walks over hash maps.
// Invariant: every call reports failure as an Error that names the object.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

// A pinned object's descriptor. The Error's number is ENOENT where nothing is pinned.
Result<Fd> open_pin(const std::filesystem::path& path);

// Pins; an existing pin of that name is an error (EEXIST).
Result<void> pin(int fd, const std::filesystem::path& path);

uint32_t program_id(int program_fd); // 0 on failure

Result<uint32_t> map_size(int map_fd); // max_entries
uint32_t map_id(int map_fd);           // 0 on failure

// Does the kernel take XDP programs that handle frames of several buffers (BPF_F_XDP_HAS_FRAGS, 5.18)? Without it
// drivers refuse XDP on an interface whose frames do not fit into one.
bool kernel_has_xdp_frags();

struct LinkInfo {
    uint32_t id = 0;
    uint32_t program_id = 0;
    uint32_t interface = 0; // ifindex; 0: the interface is gone or the link was detached
};
Result<LinkInfo> link_info(int link_fd);

// Calls visit(key, value) for the entries of a hash map, while programs go on adding and evicting them. The kernel
// copies one bucket after the other under its lock, and an entry never changes its bucket: so the walk ends, each key
// is visited at most once, and an entry that stays is visited. One that is added or evicted meanwhile may be visited or
// not; programs may be in the middle of writing to the value. `what` names the map in errors.
Result<void> for_each_entry(int map_fd, const std::string& what, std::size_t key_size, std::size_t value_size,
                            const std::function<void(const char* key, const char* value)>& visit);

template <typename Key, typename Value, typename Visit>
Result<void> for_each_entry(int map_fd, const std::string& what, Visit visit) {
    return for_each_entry(map_fd, what, sizeof(Key), sizeof(Value), [&visit](const char* key, const char* value) {
        visit(*reinterpret_cast<const Key*>(key), *reinterpret_cast<const Value*>(value));
    });
}

// The memory of an array map with BPF_F_MMAPABLE, shared with the programs: all elements, of which `T` is one. A const
// `T` is mapped for reading only.
template <typename T> class Mapped {
public:
    static Result<Mapped> map(int fd, const std::string& name) {
        const std::size_t count = KUDO_TRY(map_size(fd));
        constexpr int protection = std::is_const_v<T> ? PROT_READ : PROT_READ | PROT_WRITE;
        void* memory = mmap(nullptr, sizeof(T) * count, protection, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED) return fail_errno("cannot map " + name);
        return Mapped(static_cast<T*>(memory), count);
    }
    T* operator->() const { return memory_.get(); }
    T& operator*() const { return *memory_; }
    [[nodiscard]] std::span<T> elements() const { return {memory_.get(), memory_.get_deleter().count}; }

private:
    struct Unmap {
        std::size_t count;
        void operator()(T* memory) const { munmap(const_cast<std::remove_const_t<T>*>(memory), sizeof(T) * count); }
    };
    Mapped(T* memory, std::size_t count) : memory_(memory, Unmap{count}) {}
    std::unique_ptr<T, Unmap> memory_;
};

} // namespace kudo
