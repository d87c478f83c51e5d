#pragma once
// CONTROLLER.ATTRIBUTE = value, as it stands in [limits] and in the groups of gpcsup.toml. Values stay text;
// what they mean is the controllers' business, asked through the catalogue.

#include <string>
#include <vector>

#include "config/catalogue.h"
#include "config/document.h"

namespace gpcsup::config {

struct LocatedSetting {
    std::string attribute;  // "numtasks.limit"
    std::string value;      // canonical, when there is a catalogue
    Location place;
};

// TABLE has one table a controller. PREFIX stands before the key in problems ("limits."). Without a catalogue
// only the form is checked.
std::vector<LocatedSetting> read_attribute_settings(const Node& table, const std::string& prefix,
                                                    const AttributeCatalogue* catalogue,
                                                    std::vector<Located>& problems);

}  // namespace gpcsup::config
