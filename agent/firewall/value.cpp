// SPDX-License-Identifier: MIT
#include "agent/firewall/value.h"

#include <algorithm>

#include "agent/firewall/key_value.h"

namespace kudo::firewall {
namespace {

Value operation(const Expression& expression, const Place& place) {
    if (expression.parts.size() < 2) return {};
    Value result = single_value(expression.parts[0], place);
    for (std::size_t at = 1; at < expression.parts.size(); at++) {
        const Value operand = single_value(expression.parts[at], place);
        if (result.kind == Value::Kind::Absent || operand.kind == Value::Kind::Absent) return {Value::Kind::Absent};
        if (result.kind != Value::Kind::Number || operand.kind != Value::Kind::Number) return {};
        const Number left = result.number, right = operand.number;
        switch (expression.kind) {
        case Expression::Kind::And:
            result.number = left & right;
            break;
        case Expression::Kind::Or:
            result.number = left | right;
            break;
        case Expression::Kind::Xor:
            result.number = left ^ right;
            break;
        case Expression::Kind::ShiftRight:
            result.number = right < 128 ? left >> static_cast<unsigned>(right) : 0;
            break;
        default:
            return {}; // a shift to the left is cut at the field's width, which JSON does not tell
        }
    }
    return result;
}

// The data of a map.
Value mapped(const Expression& expression, const Place& place) {
    const std::vector<Value> key = evaluate(expression.parts[0], place);
    if (std::ranges::any_of(key, [](const Value& value) { return value.kind == Value::Kind::Absent; }))
        return {Value::Kind::Absent};
    const Lookup found = look_up(expression.map.get(), key);
    if (found.possible.empty() && expression.map && !expression.map->incomplete) return {Value::Kind::Absent};
    if (found.possible.size() != 1 || !found.always) return {};
    const Literal& data = found.possible[0]->data;
    return data.kind == Literal::Kind::Range && data.first == data.last ? Value::of(data.first) : Value{};
}

Truth equals(const Value& value, const Literal& literal) {
    if (literal.kind == Literal::Kind::Any) return Truth::Yes;
    if (value.kind == Value::Kind::Number && literal.kind == Literal::Kind::Range)
        return literal.first <= value.number && value.number <= literal.last ? Truth::Yes : Truth::No;
    if (value.kind == Value::Kind::Name && literal.kind == Literal::Kind::Name) {
        const bool same = literal.wildcard ? value.name.starts_with(literal.name) : value.name == literal.name;
        return same ? Truth::Yes : Truth::No;
    }
    return Truth::Unknown;
}

Truth equals(const std::vector<Value>& values, const std::vector<Literal>& fields) {
    if (values.size() != fields.size()) return Truth::Unknown;
    Truth result = Truth::Yes;
    for (std::size_t at = 0; at < values.size(); at++)
        result = std::min(result, equals(values[at], fields[at]));
    return result;
}

Truth of(bool condition) {
    return condition ? Truth::Yes : Truth::No;
}

Truth contains(const Set* set, const std::vector<Value>& values) {
    if (!set) return Truth::Unknown;
    const Lookup found = look_up(set, values);
    if (found.always) return Truth::Yes;
    return found.possible.empty() && !set->incomplete ? Truth::No : Truth::Unknown;
}

// nft (1.0.6) prints two different rules as `!= a-b`: that, and `< a` followed by `> b`, which nothing fulfils, unless
// b is less than a.
Truth holds_ambiguous(const Statement& match, const std::vector<Value>& values) {
    const Literal* range = match.right && !match.right->sorted.empty() ? &match.right->sorted[0].fields[0] : nullptr;
    if (!range || values.size() != 1 || values[0].kind != Value::Kind::Number) return Truth::Unknown;
    const Number value = values[0].number;
    if (range->first > range->last) return of(range->last < value && value < range->first);
    return range->first <= value && value <= range->last ? Truth::No : Truth::Unknown;
}

} // namespace

Value single_value(const Expression& expression, const Place& place) {
    switch (expression.kind) {
    case Expression::Kind::Key:
        return key_value(expression, place);
    case Expression::Kind::Map:
        return mapped(expression, place);
    case Expression::Kind::Concat:
        return {};
    default:
        return operation(expression, place);
    }
}

PacketState merged(const PacketState& one, const PacketState& other) {
    PacketState result = one;
    for (Value PacketState::*field :
         {&PacketState::source, &PacketState::destination, &PacketState::source_port, &PacketState::destination_port,
          &PacketState::mark, &PacketState::dscp, &PacketState::conntrack})
        if (!(one.*field == other.*field)) result.*field = {};
    return result;
}

std::vector<Value> evaluate(const Expression& expression, const Place& place) {
    if (expression.kind != Expression::Kind::Concat) return {single_value(expression, place)};
    std::vector<Value> values;
    for (const Expression& part : expression.parts)
        values.push_back(single_value(part, place));
    return values;
}

Lookup look_up(const Set* set, const std::vector<Value>& values) {
    Lookup result;
    if (!set) return result;
    const Element* otherwise = nullptr;
    // True: it is this one, and no other.
    const auto consider = [&](const Element& element) {
        const bool catches_all = element.fields.size() == 1 && element.fields[0].kind == Literal::Kind::Any;
        if (catches_all) otherwise = &element;
        const Truth truth = catches_all ? Truth::No : equals(values, element.fields);
        if (truth == Truth::Yes) result = {{&element}, true};
        if (truth == Truth::Unknown) result.possible.push_back(&element);
        return truth == Truth::Yes;
    };
    if (values.size() == 1 && values[0].kind == Value::Kind::Number) {
        const auto behind = std::ranges::upper_bound(set->sorted, values[0].number, {},
                                                     [](const Element& element) { return element.fields[0].first; });
        if (behind != set->sorted.begin() && consider(*std::prev(behind))) return result;
    } else
        for (const Element& element : set->sorted)
            if (consider(element)) return result;
    for (const Element& element : set->others)
        if (consider(element)) return result;
    if (otherwise) {
        result.possible.push_back(otherwise);
        result.always = true;
    }
    return result;
}

Truth holds(const Statement& match, const std::vector<Value>& values) {
    if (std::ranges::any_of(values, [](const Value& value) { return value.kind == Value::Kind::Absent; }))
        return Truth::No;
    using Operator = Statement::Operator;
    if (match.ambiguous) return holds_ambiguous(match, values);
    if (match.op == Operator::Equal) return contains(match.right.get(), values);
    if (match.op == Operator::Unequal) {
        const auto unequal = static_cast<Truth>(2 - static_cast<int>(contains(match.right.get(), values)));
        return match.merged ? std::max(unequal, Truth::Unknown) : unequal;
    }
    if (!match.right || match.right->sorted.size() != 1 || !match.right->others.empty()) return Truth::Unknown;
    const Literal& right = match.right->sorted[0].fields[0];
    if (values.size() != 1 || values[0].kind != Value::Kind::Number || right.first != right.last) return Truth::Unknown;
    const Number left = values[0].number;
    switch (match.op) {
    case Operator::Less:
        return of(left < right.first);
    case Operator::Greater:
        return of(left > right.first);
    case Operator::LessOrEqual:
        return of(left <= right.first);
    case Operator::GreaterOrEqual:
        return of(left >= right.first);
    case Operator::AnyBit:
        return of((left & right.first) != 0);
    default:
        return of((left & right.first) == 0);
    }
}

} // namespace kudo::firewall
