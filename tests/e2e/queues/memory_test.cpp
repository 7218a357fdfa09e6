// SPDX-License-Identifier: MIT
// The memory of what stood at a root, in maps of a real bpffs: read back as written, and refused where it is not what
// we wrote.
// Invariant: pins only in the test's own bpffs.
#include <gtest/gtest.h>

#include <bpf/bpf.h>
#include <linux/pkt_sched.h>

#include <cstring>

#include "agent/datapath/bpf_object.h"
#include "agent/queues/saved_qdisc.h"
#include "tests/support/host_test.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;

class Memory : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        folder_ = test_->instance.bpffs / "memory";
        fs::create_directories(folder_ / "queues");
    }
    // Pins a map of this kind whose first value begins with these bytes.
    void plant(const std::string& name, bpf_map_type type, uint32_t key_size, const std::string& value) const {
        const Fd map(
            bpf_map_create(type, "planted", key_size, static_cast<uint32_t>((value.size() + 8) / 8 * 8), 1, nullptr));
        ASSERT_TRUE(map) << std::strerror(errno);
        if (type == BPF_MAP_TYPE_ARRAY) {
            std::string bytes = value;
            bytes.resize((value.size() + 8) / 8 * 8);
            const uint32_t key = 0;
            ASSERT_EQ(bpf_map_update_elem(map.get(), &key, bytes.data(), BPF_ANY), 0);
        }
        ASSERT_TRUE(pin(map.get(), folder_ / "queues" / name));
    }
    [[nodiscard]] std::string refusal(const std::string& name) const {
        const auto memory = load_saved_qdisc(folder_, name);
        return memory ? "taken" : memory.error().message;
    }
    fs::path folder_;
};

SavedQdisc some_memory() {
    SavedQdisc memory;
    memory.plan = "best at 20000000 bit/s, MTU 1500";
    memory.built = "0123abcd";
    memory.found = {"mq", "fq_codel", 4, true, true};
    memory.restoring = true;
    TcObject root{.handle = 0x10000, .parent = TC_H_ROOT, .kind = "htb"};
    for (int byte = 0; byte < 256; byte++)
        root.options.push_back(static_cast<uint8_t>(byte));
    TcObject child{.is_class = true, .handle = 0x10001, .parent = 0x10000, .kind = "htb"};
    memory.saved = {root, child};
    return memory;
}

TEST_F(Memory, IsReadBackAsItWasWritten) {
    const SavedQdisc written = some_memory();
    ASSERT_TRUE(store_saved_qdisc(folder_, "3", written));
    const auto loaded = load_saved_qdisc(folder_, "3");
    ASSERT_TRUE(loaded) << loaded.error().message;
    ASSERT_TRUE(loaded->has_value());
    const SavedQdisc& read = **loaded;
    EXPECT_EQ(read.plan, written.plan);
    EXPECT_EQ(read.built, written.built);
    EXPECT_EQ(read.found.root, "mq");
    EXPECT_EQ(read.found.kind, "fq_codel");
    EXPECT_EQ(read.found.transmit_queues, 4u);
    EXPECT_TRUE(read.found.made_by_admin);
    EXPECT_TRUE(read.found.honours_marks);
    EXPECT_TRUE(read.restoring);
    ASSERT_EQ(read.saved.size(), 2u);
    for (std::size_t i = 0; i < 2; i++) {
        EXPECT_EQ(read.saved[i].is_class, written.saved[i].is_class);
        EXPECT_EQ(read.saved[i].handle, written.saved[i].handle);
        EXPECT_EQ(read.saved[i].parent, written.saved[i].parent);
        EXPECT_EQ(read.saved[i].kind, written.saved[i].kind);
        EXPECT_EQ(read.saved[i].options, written.saved[i].options);
    }
}

TEST_F(Memory, IsReplacedAndForgotten) {
    SavedQdisc memory = some_memory();
    ASSERT_TRUE(store_saved_qdisc(folder_, "3", memory));
    memory.plan = "another, and longer than the first by some words";
    ASSERT_TRUE(store_saved_qdisc(folder_, "3", memory));
    EXPECT_EQ(load_saved_qdisc(folder_, "3").value()->plan, memory.plan);
    EXPECT_EQ(saved_qdisc_interfaces(folder_), std::set<uint32_t>{3});
    ASSERT_TRUE(forget_saved_qdisc(folder_, "3"));
    ASSERT_TRUE(forget_saved_qdisc(folder_, "3")) << "twice is once";
    EXPECT_FALSE(load_saved_qdisc(folder_, "3").value());
    EXPECT_TRUE(fs::is_empty(folder_ / "queues"));
}

TEST_F(Memory, OfAKilledCommandsHalfIsNotRead) {
    ASSERT_TRUE(store_saved_qdisc(folder_, "3", some_memory()));
    plant("3_new", BPF_MAP_TYPE_ARRAY, 4, "half");
    EXPECT_TRUE(load_saved_qdisc(folder_, "3").value());
    ASSERT_TRUE(store_saved_qdisc(folder_, "3", some_memory())) << "the half is in the way";
    EXPECT_FALSE(fs::exists(folder_ / "queues/3_new"));
}

TEST_F(Memory, WhatWeDidNotWriteIsRefused) {
    const std::string texts[] = {"",
                                 "{",
                                 "{}",
                                 "[]",
                                 "null",
                                 "\xff\xfe",
                                 R"({"plan":1,"built":"","found":{},"restoring":false,"saved":[]})",
                                 R"({"plan":"","built":"","restoring":false,"saved":[]})"};
    for (std::size_t i = 0; i < std::size(texts); i++) {
        const std::string name = std::to_string(i + 1);
        plant(name, BPF_MAP_TYPE_ARRAY, 4, texts[i]);
        EXPECT_NE(refusal(name).find("queues/" + name + ": not what kudo-agent wrote there"), std::string::npos)
            << texts[i] << ": " << refusal(name);
    }
}

// Reading a map of another shape would write or read beyond what we have for it.
TEST_F(Memory, AMapOfAnotherShapeIsRefused) {
    plant("1", BPF_MAP_TYPE_PERCPU_ARRAY, 4, "{}");
    plant("2", BPF_MAP_TYPE_HASH, 64, "{}");
    plant("3", BPF_MAP_TYPE_ARRAY, 4, std::string(5u << 20, ' '));
    for (const char* name : {"1", "2", "3"})
        EXPECT_NE(refusal(name).find("not a map of kudo-agent"), std::string::npos) << refusal(name);
}

TEST_F(Memory, ForeignNamesInThePinFolderDisturbNoCommand) {
    const std::vector<std::string> enable = {"enable", "--region", "ca", "--uplink", "20mbit"};
    const std::string before = test_->in_host({"tc", "qdisc", "show"});
    ASSERT_EQ(test_->agent(enable).status, 0);
    for (const char* foreign : {"queues/foreign", "queues/99999999999999999999", "queues/_ifb", "filters/x_ingress",
                                "filters/_clsact", "filters/99999999999999999999_egress", "links/foreign"})
        fs::create_directories(test_->instance.layout() / foreign);
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    EXPECT_EQ(test_->agent(enable).status, 0);
    EXPECT_EQ(test_->agent({"stats"}).status, 0);
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show"}), before);
    EXPECT_FALSE(fs::exists(test_->instance.layout()));
}

} // namespace
} // namespace kudo::test
