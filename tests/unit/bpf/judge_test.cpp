// SPDX-License-Identifier: MIT
// The one decision function: match, port, mode.
// Invariant: only enforce drops, only a rule prioritises, and the most specific service that lists the port decides.
#include <cstring>
#include <initializer_list>
#include <memory>

#include <gtest/gtest.h>

#include "bpf/judge.h"

namespace kudo::test {
namespace {

constexpr uint8_t tcp = KUDO_PROTOCOL_TCP, udp = KUDO_PROTOCOL_UDP;

class Judge : public ::testing::Test {
protected:
    Judge() {
        policy_->generation = 9;
        policy_->services[1].ports[0] = {.port = 3478, .protocol = udp, .class_ = KUDO_CLASS_MEDIA};
        policy_->services[1].ports[1] = {.port = 443, .protocol = tcp, .class_ = KUDO_CLASS_FALLBACK};
        policy_->services[2].ports[0] = {.port = 443, .protocol = tcp, .class_ = KUDO_CLASS_CONTROL};
        for (uint16_t i = 0; i < KUDO_MAX_PORTS; ++i)
            policy_->services[127].ports[i] = {
                .port = static_cast<uint16_t>(1000 + i), .protocol = udp, .class_ = KUDO_CLASS_CONTROL};
    }
    kudo_judgement judge(const kudo_match& match, uint8_t protocol, uint16_t port, uint8_t non_first_fragment = 0) {
        return kudo_judge(policy_.get(), &match, protocol, port, non_first_fragment);
    }
    std::unique_ptr<kudo_policy> policy_ = std::make_unique<kudo_policy>();
    const kudo_match media_{{{1, 26}}};
    const kudo_match both_{{{2, 32}, {1, 26}}};
};

TEST_F(Judge, NoMatchIsAStranger) {
    const kudo_match empty{};
    EXPECT_EQ(kudo_judge(policy_.get(), nullptr, udp, 3478, 0).reason, KUDO_REASON_STRANGER);
    EXPECT_EQ(judge(empty, udp, 3478).reason, KUDO_REASON_STRANGER);
    EXPECT_EQ(judge(empty, udp, 3478).service, 0);
    EXPECT_EQ(judge(empty, udp, 3478).prefix_length, 0);
    EXPECT_EQ(judge(empty, udp, 3478, 1).reason, KUDO_REASON_STRANGER); // fragments of strangers too
}

TEST_F(Judge, AListedPortIsARuleOfItsClass) {
    const kudo_judgement judgement = judge(media_, udp, 3478);
    EXPECT_EQ(judgement.reason, KUDO_REASON_RULE);
    EXPECT_EQ(judgement.service, 1);
    EXPECT_EQ(judgement.prefix_length, 26);
    EXPECT_EQ(judgement.generation, 9u);
    EXPECT_EQ(kudo_class_of(judgement), KUDO_CLASS_MEDIA);
    EXPECT_EQ(kudo_class_of(judge(media_, tcp, 443)), KUDO_CLASS_FALLBACK);
}

TEST_F(Judge, ProtocolAndPortMustBothFit) {
    EXPECT_EQ(judge(media_, tcp, 3478).reason, KUDO_REASON_PORT_NOT_LISTED);
    EXPECT_EQ(judge(media_, udp, 443).reason, KUDO_REASON_PORT_NOT_LISTED);
    EXPECT_EQ(judge(media_, udp, 3479).reason, KUDO_REASON_PORT_NOT_LISTED);
    EXPECT_EQ(judge(media_, udp, 0).reason, KUDO_REASON_PORT_NOT_LISTED); // the empty places of the list allow nothing
    EXPECT_EQ(judge(media_, udp, 0x960d).reason, KUDO_REASON_PORT_NOT_LISTED); // 3478 with its bytes swapped
}

TEST_F(Judge, TheMostSpecificServiceThatListsThePortDecides) {
    EXPECT_EQ(judge(both_, tcp, 443).service, 2);
    EXPECT_EQ(judge(both_, tcp, 443).prefix_length, 32);
    EXPECT_EQ(judge(both_, udp, 3478).service, 1);
    EXPECT_EQ(judge(both_, udp, 3478).prefix_length, 26);
}

TEST_F(Judge, TheMostSpecificServiceIsNamedIfNoneListsThePort) {
    const kudo_judgement judgement = judge(both_, udp, 9);
    EXPECT_EQ(judgement.reason, KUDO_REASON_PORT_NOT_LISTED);
    EXPECT_EQ(judgement.service, 2);
    EXPECT_EQ(judgement.prefix_length, 32);
    EXPECT_EQ(kudo_class_of(judgement), KUDO_CLASS_NONE);
}

TEST_F(Judge, AllCandidatesAndAllPortsAreLookedAt) {
    const kudo_match full{{{3, 32}, {4, 31}, {5, 30}, {127, 29}}};
    for (uint16_t i = 0; i < KUDO_MAX_PORTS; ++i)
        EXPECT_EQ(judge(full, udp, static_cast<uint16_t>(1000 + i)).service, 127);
    EXPECT_EQ(judge(full, udp, 1000 + KUDO_MAX_PORTS).service, 3);
}

TEST_F(Judge, IcmpOfBothFamiliesPassesWithAKnownRange) {
    EXPECT_EQ(judge(media_, KUDO_PROTOCOL_ICMP, 0).reason, KUDO_REASON_ICMP);
    EXPECT_EQ(judge(media_, KUDO_PROTOCOL_ICMPV6, 0).reason, KUDO_REASON_ICMP);
}

TEST_F(Judge, OtherProtocolsAreNamedSo) {
    for (unsigned protocol = 0; protocol < 256; ++protocol) {
        if (protocol == tcp || protocol == udp || protocol == KUDO_PROTOCOL_ICMP || protocol == KUDO_PROTOCOL_ICMPV6)
            continue;
        EXPECT_EQ(judge(media_, static_cast<uint8_t>(protocol), 0).reason, KUDO_REASON_OTHER_PROTOCOL) << protocol;
    }
}

TEST_F(Judge, ALaterFragmentIsJudgedByItsAddressWhateverItsProtocol) {
    for (const uint8_t protocol : {tcp, udp, uint8_t{KUDO_PROTOCOL_ICMP}, uint8_t{50}}) {
        EXPECT_EQ(judge(media_, protocol, 0, 1).reason, KUDO_REASON_LATER_FRAGMENT);
        EXPECT_EQ(judge(media_, protocol, 0, 1).service, 1);
    }
}

TEST_F(Judge, OnlyEnforceDropsAndOnlyARuleOrANameIsPrioritised) {
    for (const kudo_mode mode : {KUDO_OBSERVE, KUDO_PRIORITISE, KUDO_ENFORCE}) {
#define CHECK(NAME, name, enforcement, text)                                                                           \
    {                                                                                                                  \
        const kudo_verdict verdict = kudo_verdict_for(mode, KUDO_REASON_##NAME);                                       \
        const bool drops = mode == KUDO_ENFORCE && (enforcement) == KUDO_ENFORCE_DROP;                                 \
        const bool is_of_map = KUDO_REASON_##NAME == KUDO_REASON_RULE || KUDO_REASON_##NAME == KUDO_REASON_NAME;       \
        const bool marks = mode != KUDO_OBSERVE && is_of_map;                                                          \
        EXPECT_EQ(verdict, drops ? KUDO_DROP : marks ? KUDO_PRIORITISED : KUDO_PASS) << #name << " in mode " << mode;  \
    }
        KUDO_REASONS(CHECK)
#undef CHECK
    }
}

TEST_F(Judge, EnforceLetsThroughWhatConnectionsNeed) {
    for (const kudo_reason reason :
         {KUDO_REASON_NO_POLICY, KUDO_REASON_RULE, KUDO_REASON_ICMP, KUDO_REASON_LATER_FRAGMENT, KUDO_REASON_NOT_IP})
        EXPECT_NE(kudo_verdict_for(KUDO_ENFORCE, reason), KUDO_DROP) << reason;
    for (const kudo_reason reason : {KUDO_REASON_STRANGER, KUDO_REASON_PORT_NOT_LISTED, KUDO_REASON_OTHER_PROTOCOL,
                                     KUDO_REASON_TRUNCATED_IP, KUDO_REASON_TOO_MANY_TAGS})
        EXPECT_EQ(kudo_verdict_for(KUDO_ENFORCE, reason), KUDO_DROP) << reason;
}

TEST_F(Judge, AFrameThatIsNoPacketHasItsReasonAndNoService) {
    policy_->mode = KUDO_ENFORCE;
    for (uint32_t reason = 0; reason < KUDO_REASON_END; ++reason) {
        const kudo_judgement judgement = kudo_judge_unparsed(policy_.get(), reason);
        EXPECT_EQ(judgement.reason, reason);
        EXPECT_EQ(judgement.service, 0);
        EXPECT_EQ(kudo_class_of(judgement), KUDO_CLASS_NONE);
        EXPECT_EQ(kudo_verdict_of(judgement), kudo_verdict_for(KUDO_ENFORCE, reason));
    }
}

TEST_F(Judge, TheModeChangesNothingButTheVerdict) {
    for (const uint16_t port : std::initializer_list<uint16_t>{443, 9}) {
        kudo_judgement judgements[3];
        for (const kudo_mode mode : {KUDO_OBSERVE, KUDO_PRIORITISE, KUDO_ENFORCE}) {
            policy_->mode = mode;
            judgements[mode] = judge(both_, tcp, port);
        }
        for (const kudo_judgement& judgement : judgements) {
            EXPECT_EQ(judgement.reason, judgements[0].reason);
            EXPECT_EQ(judgement.service, judgements[0].service);
            EXPECT_EQ(kudo_class_of(judgement), kudo_class_of(judgements[0]));
        }
    }
}

} // namespace
} // namespace kudo::test
