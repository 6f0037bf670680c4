// Who watches the watch: alerts and a workbook on what the runs wrote.

@description('Region.')
param location string

@description('ID of the Application Insights component.')
param insightsId string

@description('Mail address for alerts; empty: they tell nobody.')
param alertEmail string

@description('Days without a run after which the absence is an alert.')
@minValue(1)
@maxValue(2)
param daysWithoutRun int = 2

var records = 'traces | where message startswith \'{"run_id"\' | extend record = parse_json(message)'

var rules = [
  {
    name: 'midwatch-run-not-well'
    text: 'A run did not end well, or warns of something.'
    severity: 1
    query: '${records} | where record.step == "run" and (isnotempty(record.warning) or not(record.outcome in ("completed", "nothing-to-do", "cancelled")))'
    window: 'PT1H'
    every: 'PT15M'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'midwatch-node-left'
    text: 'Something of ours was left on a node: a cordon, a claim, or a label.'
    severity: 1
    query: '${records} | where record.step == "node" and array_length(record.left) > 0'
    window: 'PT1H'
    every: 'PT15M'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'midwatch-no-run'
    text: 'No run has ended for so many days.'
    severity: 2
    query: '${records} | where record.step == "run" and isnotempty(record.outcome)'
    window: 'P${daysWithoutRun}D'
    every: 'P1D'
    operator: 'LessThan'
    threshold: 1
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(alertEmail)) {
  name: 'midwatch'
  location: 'global'
  properties: {
    enabled: true
    groupShortName: 'midwatch'
    emailReceivers: [
      {
        name: 'mail'
        emailAddress: alertEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: rule.name
    location: location
    properties: {
      description: rule.text
      displayName: rule.name
      enabled: true
      severity: rule.severity
      scopes: [
        insightsId
      ]
      evaluationFrequency: rule.every
      windowSize: rule.window
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: rule.operator
            threshold: rule.threshold
            failingPeriods: {
              minFailingPeriodsToAlert: 1
              numberOfEvaluationPeriods: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: empty(alertEmail) ? [] : [people.id]
      }
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'midwatch')
  location: location
  kind: 'shared'
  properties: {
    category: 'workbook'
    displayName: 'Midwatch'
    serializedData: loadTextContent('workbook.json')
    sourceId: insightsId
    version: '1.0'
  }
}
