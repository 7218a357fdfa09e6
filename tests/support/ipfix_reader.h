// SPDX-License-Identifier: MIT
// IPFIX messages as a collector reads them that knows nothing but RFC 7011: lengths by the templates, values as bytes.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace kudo::test {

// Big-endian, RFC 7011 section 6.1.1. Throws if the message ends before it does.
inline uint64_t ipfix_number(const std::string& message, std::size_t place, std::size_t bytes) {
    uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; i++)
        value = value << 8 | static_cast<unsigned char>(message.at(place + i));
    return value;
}

// A record's, by enterprise number (0: none) and element, its highest bit taken off.
using IpfixValues = std::map<std::pair<uint64_t, uint64_t>, std::string>;

class IpfixReader {
public:
    // One message, RFC 7011 sections 3.3 and 3.4: how many data records are in it. Throws if a length in it cannot be.
    uint32_t read(const std::string& message) {
        const std::size_t before = all_;
        for (std::size_t set = 16; set < message.size();) {
            const uint64_t id = ipfix_number(message, set, 2), length = ipfix_number(message, set + 2, 2);
            if (length < 4 || set + length > message.size()) throw std::out_of_range("a set's length");
            const std::string body = message.substr(set + 4, length - 4);
            set += length;
            if (id == 2 || id == 3)
                read_templates(body, id == 3);
            else
                read_records(body, templates_.at(id));
        }
        return static_cast<uint32_t>(all_ - before);
    }
    // All of a stream that begins with a message; what is not whole at its end is left out.
    void read_stream(const std::string& stream) {
        for (std::size_t place = 0; place + 4 <= stream.size();) {
            const uint64_t length = ipfix_number(stream, place + 2, 2);
            if (length < 16 || place + length > stream.size()) return;
            read(stream.substr(place, length));
            place += length;
        }
    }
    // Of flows, in the order in which they came: those that have an octetDeltaCount.
    [[nodiscard]] const std::vector<IpfixValues>& records() const { return records_; }
    // The informationElementIds of records that tell an element's type (RFC 5610).
    [[nodiscard]] const std::set<uint64_t>& types() const { return types_; }

private:
    struct Field {
        uint64_t id, length, enterprise;
    };
    void read_templates(const std::string& body, bool options) {
        for (std::size_t place = 0; place + 4 <= body.size();) {
            std::vector<Field>& fields = templates_[ipfix_number(body, place, 2)];
            fields.clear();
            const uint64_t count = ipfix_number(body, place + 2, 2);
            place += options ? 6 : 4;
            for (uint64_t i = 0; i < count; i++) {
                const uint64_t id = ipfix_number(body, place, 2), length = ipfix_number(body, place + 2, 2);
                const bool is_own = id >= 0x8000;
                fields.push_back({id & 0x7fff, length, is_own ? ipfix_number(body, place + 4, 4) : 0});
                place += is_own ? 8 : 4;
            }
        }
    }
    void read_records(const std::string& body, const std::vector<Field>& fields) {
        if (fields.empty()) throw std::out_of_range("records of a template that was withdrawn");
        for (std::size_t place = 0; place < body.size(); all_++) {
            IpfixValues values;
            for (const Field& field : fields) {
                std::size_t length = field.length;
                if (length == 65535) length = ipfix_number(body, place++, 1);
                if (length == 255 && field.length == 65535) length = ipfix_number(body, place, 2), place += 2;
                if (length > body.size() - place) throw std::out_of_range("a value's length");
                values[{field.enterprise, field.id}] = body.substr(place, length);
                place += length;
            }
            if (const auto type = values.find({0, 303}); type != values.end()) // informationElementId
                types_.insert(ipfix_number(type->second, 0, 2));
            if (values.contains({0, 1})) records_.push_back(std::move(values));
        }
    }
    std::map<uint64_t, std::vector<Field>> templates_;
    std::vector<IpfixValues> records_;
    std::set<uint64_t> types_;
    std::size_t all_ = 0;
};

} // namespace kudo::test
