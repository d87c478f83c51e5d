#include "config/attribute_settings.h"

#include <algorithm>
#include <optional>

#include "base/suggestion.h"
#include "config/explain.h"

namespace gpcsup::config {

namespace {

std::string in_quotes(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

std::optional<ValueKind> value_kind(NodeKind kind) {
    switch (kind) {
        case NodeKind::boolean:
            return ValueKind::boolean;
        case NodeKind::integer:
            return ValueKind::integer;
        case NodeKind::real:
            return ValueKind::real;
        case NodeKind::text:
            return ValueKind::text;
        case NodeKind::table:
        case NodeKind::list:
        case NodeKind::date:
            break;
    }
    return std::nullopt;
}

class SettingsReader {
  public:
    SettingsReader(const std::string& prefix, const AttributeCatalogue* catalogue,
                   std::vector<Located>& problems)
        : prefix_(prefix), catalogue_(catalogue), problems_(problems) {
        if (catalogue_ != nullptr) {
            names_ = catalogue_->names();
        }
    }

    std::vector<LocatedSetting> read(const Node& table) {
        for (const Entry& controller : table.entries) {
            if (controller.value.kind == NodeKind::table) {
                for (const Entry& attribute : controller.value.entries) {
                    read_one(controller.key + "." + attribute.key, attribute);
                }
            } else {
                refuse_controller(controller);
            }
        }
        return std::move(settings_);
    }

  private:
    void problem(const Location& place, const std::string& key, std::string message) {
        problems_.push_back({place.file, place.line, place.column, prefix_ + key, std::move(message)});
    }

    // A value stands where a controller was expected.
    void refuse_controller(const Entry& entry) {
        if (entry.key.find('.') != std::string::npos) {
            problem(entry.place, entry.key,
                    "the quotes make one key of it: write " + entry.key + " = … without them");
        } else if (const auto foreign = explain_foreign_key(entry.key)) {
            problem(entry.place, entry.key,
                    "unknown key " + in_quotes(entry.key) + ": " + std::string(*foreign));
        } else {
            problem(entry.place, entry.key,
                    in_quotes(entry.key) +
                        " lacks its controller: write CONTROLLER.ATTRIBUTE, as in numtasks.limit = 16" +
                        suggestion(entry.key));
        }
    }

    // The attribute that is meant: by its whole name, or by its last part alone.
    std::string suggestion(const std::string& key) const {
        for (const std::string& name : names_) {
            if (name.ends_with("." + key)) {
                return "; did you mean " + name + "?";
            }
        }
        const std::vector<std::string_view> known(names_.begin(), names_.end());
        const auto near = base::nearest(key, known);
        return near ? "; did you mean " + std::string(*near) + "?" : "";
    }

    void read_one(const std::string& name, const Entry& entry) {
        if (catalogue_ != nullptr && std::ranges::find(names_, name) == names_.end()) {
            return problem(entry.place, name, "there is no attribute " + in_quotes(name) + suggestion(name));
        }
        const auto kind = value_kind(entry.value.kind);
        if (!kind) {
            const bool is_list = entry.value.kind == NodeKind::list;
            return problem(entry.value.place, name,
                           std::string(kind_text(entry.value.kind)) + " cannot be its value" +
                               (is_list ? ": write a list in one string, as in \"0-3,8\"" : ""));
        }
        std::string text = entry.value.text;
        if (catalogue_ != nullptr) {
            base::Result<std::string> canonical = catalogue_->check(name, *kind, text);
            if (!canonical) {
                return problem(entry.value.place, name, canonical.error().message());
            }
            text = *canonical;
        }
        settings_.push_back({name, std::move(text), entry.value.place});
    }

    const std::string& prefix_;
    const AttributeCatalogue* catalogue_;
    std::vector<Located>& problems_;
    std::vector<std::string> names_;
    std::vector<LocatedSetting> settings_;
};

}  // namespace

std::vector<LocatedSetting> read_attribute_settings(const Node& table, const std::string& prefix,
                                                    const AttributeCatalogue* catalogue,
                                                    std::vector<Located>& problems) {
    return SettingsReader(prefix, catalogue, problems).read(table);
}

}  // namespace gpcsup::config
