terraform {
  # 1.9 lets the validation of one variable look at another.
  required_version = ">= 1.9"

  required_providers {
    azapi = {
      source  = "Azure/azapi"
      version = "~> 2.12"
    }
  }
}

# Signs in as "Authenticating to Azure" of the azapi provider says: az login, a
# managed identity, or the ARM_* variables. Nothing of it belongs in a file.
provider "azapi" {}
