#include "controllers/attribute.h"

#include <cerrno>
#include <charconv>

#include "base/cpu_list.h"
#include "base/duration.h"

namespace gpcsup::controllers {

namespace {

struct TypeRow {
    AttributeType type;
    std::string_view name;
    std::string_view expected;
};

constexpr TypeRow types[] = {
    {AttributeType::boolean, "boolean", "true or false"},
    {AttributeType::count, "whole number", "a whole number"},
    {AttributeType::limit, "whole number or max", "a whole number or \"max\""},
    {AttributeType::cpu_list, "list of CPUs", "a list of CPUs like \"0-3,8\""},
    {AttributeType::node_list, "list of NUMA nodes", "a list of NUMA nodes like \"0-1\""},
    {AttributeType::nanoseconds, "nanoseconds", "a whole number of nanoseconds"},
    {AttributeType::rate, "rate", "a rate like \"100/1s\", or \"max\""},
    {AttributeType::user, "user id or none", "a numeric user id or \"none\""},
    {AttributeType::soft_hard, "soft and hard limit, or max",
     "a limit like \"1024\" or \"1024:4096\", or \"max\""},
    {AttributeType::byte_limits, "soft and hard limit in bytes, or max",
     "a limit like \"64M\" or \"64M:infinity\", or \"max\""},
    {AttributeType::freezing, "frozen or thawed", "\"frozen\" or \"thawed\""},
    {AttributeType::mark, "mark", "\"now\""},
    {AttributeType::text, "text", "text"},
};

const TypeRow& row_of(AttributeType type) {
    for (const TypeRow& row : types) {
        if (row.type == type) {
            return row;
        }
    }
    __builtin_unreachable();
}

std::string_view trim(std::string_view text) {
    const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\n'; };
    while (!text.empty() && is_space(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_space(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

std::unexpected<base::Error> expected(std::string_view full_name, AttributeType type, std::string_view got,
                                      std::string_view hint = {}) {
    return base::refuse(EINVAL,
                        std::string(full_name) + ": expected " + std::string(row_of(type).expected) +
                            ", got '" + std::string(got.substr(0, 80)) + "'",
                        hint);
}

base::Result<Value> parse_number(std::string_view full_name, AttributeType type, std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem == std::errc::result_out_of_range) {
        return base::refuse(ERANGE,
                            std::string(full_name) + ": '" + std::string(text.substr(0, 80)) + "' is too big",
                            type == AttributeType::limit ? "no limit is written \"max\"" : "");
    }
    if (problem != std::errc{} || end != text.data() + text.size()) {
        const bool meant_none = type == AttributeType::limit &&
                                (text == "-1" || text == "unlimited" || text == "infinity" || text == "none");
        return expected(full_name, type, text, meant_none ? "no limit is written \"max\"" : "");
    }
    return Value{number};
}

base::Result<Value> parse_boolean(std::string_view full_name, std::string_view text) {
    if (text == "true" || text == "1") {
        return Value{true};
    }
    if (text == "false" || text == "0") {
        return Value{false};
    }
    std::string_view hint;
    if (text == "yes" || text == "on") {
        hint = "write true";
    } else if (text == "no" || text == "off") {
        hint = "write false";
    }
    return expected(full_name, AttributeType::boolean, text, hint);
}

base::Result<Value> parse_list(std::string_view full_name, AttributeType type, std::string_view text) {
    auto list = base::parse_cpu_list(text);
    if (!list) {
        return base::refuse(list.error().code,
                            std::string(full_name) + ": expected " + std::string(row_of(type).expected) +
                                ", got '" + std::string(text.substr(0, 80)) + "': " + list.error().message());
    }
    return Value{list->format()};
}

base::Result<Value> parse_rate_value(std::string_view full_name, std::string_view text) {
    if (text == "max") {
        return Value{Max{}};
    }
    auto rate = parse_rate(text);
    if (!rate) {
        return expected(full_name, AttributeType::rate, text, rate.error().message());
    }
    const auto window = base::format_duration(base::Duration(static_cast<std::int64_t>(rate->window_ns)));
    return Value{std::to_string(rate->count) + "/" + window};
}

// Names of users cannot be looked up in gpcsupd: the command line does it.
base::Result<Value> parse_user(std::string_view full_name, std::string_view text) {
    if (text == "none") {
        return Value{std::string(text)};
    }
    std::uint32_t uid = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), uid);
    constexpr std::uint32_t invalid_uid = 0xffffffff;
    if (problem != std::errc{} || end != text.data() + text.size() || uid == invalid_uid) {
        return expected(full_name, AttributeType::user, text);
    }
    return Value{std::uint64_t{uid}};
}

base::Result<Value> parse_limits(std::string_view full_name, AttributeType type, std::string_view text) {
    if (text == "max") {
        return Value{Max{}};
    }
    auto limits =
        parse_soft_hard(text, type == AttributeType::byte_limits ? Suffixes::bytes : Suffixes::none);
    if (!limits) {
        return expected(full_name, type, text, limits.error().message());
    }
    const bool limits_nothing = limits->soft == SoftHard::infinity && limits->hard == SoftHard::infinity;
    return limits_nothing ? Value{Max{}} : Value{format_soft_hard(*limits)};
}

base::Result<Value> parse_freezing(std::string_view full_name, std::string_view text) {
    if (text == "frozen" || text == "thawed") {
        return Value{std::string(text)};
    }
    std::string_view hint;
    if (text == "FROZEN" || text == "true" || text == "1" || text == "freezing") {
        hint = "write \"frozen\"";
    } else if (text == "THAWED" || text == "false" || text == "0") {
        hint = "write \"thawed\"";
    }
    return expected(full_name, AttributeType::freezing, text, hint);
}

base::Result<Value> parse_typed(std::string_view full_name, AttributeType type, std::string_view text) {
    switch (type) {
        case AttributeType::boolean:
            return parse_boolean(full_name, text);
        case AttributeType::limit:
            return text == "max" ? base::Result<Value>(Max{}) : parse_number(full_name, type, text);
        case AttributeType::count:
        case AttributeType::nanoseconds:
            return parse_number(full_name, type, text);
        case AttributeType::cpu_list:
        case AttributeType::node_list:
            return parse_list(full_name, type, text);
        case AttributeType::rate:
            return parse_rate_value(full_name, text);
        case AttributeType::user:
            return parse_user(full_name, text);
        case AttributeType::soft_hard:
        case AttributeType::byte_limits:
            return parse_limits(full_name, type, text);
        case AttributeType::freezing:
            return parse_freezing(full_name, text);
        case AttributeType::mark:
            return text == "now" ? base::Result<Value>(std::string(text)) : expected(full_name, type, text);
        case AttributeType::text:
            return Value{std::string(text)};
    }
    __builtin_unreachable();
}

}  // namespace

std::string_view default_of(const Attribute& attribute, grouping::Compat compat, Level level) {
    const bool of_2006 = compat == grouping::Compat::year_2006 && level == Level::below;
    return of_2006 && !attribute.default_of_2006.empty() ? attribute.default_of_2006 : attribute.default_text;
}

std::string_view type_name(AttributeType type) {
    return row_of(type).name;
}

base::Result<Rate> parse_rate(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        return base::refuse(EINVAL, "how many in how long is written like \"100/1s\"");
    }
    const std::string_view count_text = trim(text.substr(0, slash));
    Rate rate;
    const auto [end, problem] =
        std::from_chars(count_text.data(), count_text.data() + count_text.size(), rate.count);
    if (count_text.empty() || problem != std::errc{} || end != count_text.data() + count_text.size()) {
        return base::refuse(EINVAL, "before the '/' stands a whole number");
    }
    auto window = base::parse_duration(trim(text.substr(slash + 1)));
    if (!window) {
        return base::pass(window);
    }
    if (window->count() <= 0) {
        return base::refuse(EINVAL, "the time behind the '/' must be longer than nothing");
    }
    rate.window_ns = static_cast<std::uint64_t>(window->count());
    return rate;
}

namespace {

base::Result<std::uint64_t> parse_one_limit(std::string_view text, Suffixes suffixes) {
    if (text == "infinity") {
        return SoftHard::infinity;
    }
    constexpr std::string_view letters = "KMGT";
    constexpr unsigned bits_of_a_letter = 10;
    unsigned shift = 0;
    if (const auto letter = text.empty() ? std::string_view::npos : letters.find(text.back());
        letter != std::string_view::npos) {
        if (suffixes == Suffixes::none) {
            return base::refuse(EINVAL, "it is a number and has no unit");
        }
        shift = static_cast<unsigned>(letter + 1) * bits_of_a_letter;
        text.remove_suffix(1);
    }
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || problem == std::errc::invalid_argument || end != text.data() + text.size()) {
        return base::refuse(EINVAL, "no limit is written \"infinity\"");
    }
    if (problem != std::errc{} || number > (SoftHard::infinity - 1) >> shift) {
        return base::refuse(EINVAL, "the number is too big");
    }
    return number << shift;
}

}  // namespace

base::Result<SoftHard> parse_soft_hard(std::string_view text, Suffixes suffixes) {
    const std::size_t colon = text.find(':');
    auto soft = parse_one_limit(trim(text.substr(0, colon)), suffixes);
    auto hard =
        colon == std::string_view::npos ? soft : parse_one_limit(trim(text.substr(colon + 1)), suffixes);
    if (!soft || !hard) {
        return std::unexpected(!soft ? soft.error() : hard.error());
    }
    if (*soft > *hard) {
        return base::refuse(EINVAL, "the soft limit is in front, and not above the hard one");
    }
    return SoftHard{*soft, *hard};
}

std::string format_soft_hard(const SoftHard& limits) {
    const auto text = [](std::uint64_t limit) {
        return limit == SoftHard::infinity ? std::string("infinity") : std::to_string(limit);
    };
    return text(limits.soft) + ":" + text(limits.hard);
}

base::Result<Value> parse_value(std::string_view full_name, const Attribute& attribute,
                                std::string_view text) {
    if (attribute.access == Access::read_only) {
        return base::refuse(EACCES, std::string(full_name) + " can only be read");
    }
    const bool keeps_spaces = attribute.type == AttributeType::text;
    auto value = parse_typed(full_name, attribute.type, keeps_spaces ? text : trim(text));
    if (value && attribute.check != nullptr) {
        if (auto valid = attribute.check(*value); !valid) {
            return base::refuse(valid.error().code, std::string(full_name) + ": " + valid.error().message());
        }
    }
    return value;
}

std::string format_value(const Value& value) {
    struct Format {
        std::string operator()(Max) const { return "max"; }
        std::string operator()(bool flag) const { return flag ? "true" : "false"; }
        std::string operator()(std::uint64_t number) const { return std::to_string(number); }
        std::string operator()(const std::string& text) const { return text; }
    };
    return std::visit(Format{}, value);
}

std::uint64_t limit_number(const Value& value) {
    return std::holds_alternative<Max>(value) ? UINT64_MAX : std::get<std::uint64_t>(value);
}

Value limit_value(std::uint64_t number) {
    return number == UINT64_MAX ? Value{Max{}} : Value{number};
}

}  // namespace gpcsup::controllers
